#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Makes the certificates of the tests' key service, which live as long as a suite does.
#
# usage: kms_certificates.sh DIRECTORY
# ca.pem signs good.pem (127.0.0.1), expired.pem (the same, over since 2001) and other.pem (another
# host); each of these three holds its key too.  stranger.pem is an authority that signed nothing.
set -eu
mkdir -p "$1"
cd "$1"

cat >ca.cnf <<'CNF'
[ca]
default_ca = ours
[ours]
database = index.txt
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[host]
subjectAltName = IP:127.0.0.1
[elsewhere]
subjectAltName = DNS:kms.example.org
CNF
: >index.txt
echo 01 >serial

# make_authority NAME
make_authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" \
        -out "$1.pem" -subj "/CN=$1 of libenvol's tests" -days 2 -config ca.cnf -extensions authority
}

# make_host NAME EXTENSIONS FROM TO
make_host() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" \
        -out "$1.csr" -subj "/CN=$1" -config ca.cnf
    openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -extensions "$2" \
        -startdate "$3" -enddate "$4" -in "$1.csr" -out "$1.crt"
    cat "$1.key" "$1.crt" >"$1.pem"
}

printf '[req]\ndistinguished_name = name\n[name]\n' >>ca.cnf
make_authority ca
make_authority stranger
make_host good host 20200101000000Z 20491231235959Z
make_host expired host 20000101000000Z 20010101000000Z
make_host other elsewhere 20200101000000Z 20491231235959Z
