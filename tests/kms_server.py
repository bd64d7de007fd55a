# SPDX-License-Identifier: BSD-2-Clause
"""A key service of the tests' own: AWS KMS, STS, the metadata services and Vault, and their faults.

usage: kms_server.py [CERTIFICATES]

It listens on 127.0.0.1 and prints "PORT", or with a directory of certificates "PORT GOOD EXPIRED
OTHER OLD": plain, TLS with three certificates, and TLS 1.1 at most with the good one, whose port
is 0 where no TLS library of this machine speaks that.  Then it obeys lines of standard input and answers
each with one line; it ends with its input.

    fault NAME [ARGUMENT]     what the next key service requests get, see FAULTS
    times N                   for so many of them; 0: until the next reset
    after N                   when so many requests were answered well
    error CODE TYPE [TEXT]    the fault of an error
    accept ID SECRET [TOKEN]  the only credentials that are good from now on
    give ID SECRET TOKEN SECONDS   what STS and the metadata services give out
    state KEY STATE           Enabled, Disabled, PendingDeletion
    key NAME derived|plain    a Transit key
    rotate NAME, floor NAME N versions of a Transit key, and min_decryption_version
    token TOKEN [POLICY]      the Vault token that is good; POLICY "none" may look at itself alone,
                              "nothing" not even that
    lease SECONDS, role SECRET-ID  of Vault logins
    count WHAT                how many requests of a kind came: see note()
    last WHAT                 a field of the last key service request
    reset                     no fault, counts zero
"""

import base64
import datetime
import hashlib
import hmac
import http.server
import json
import os
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import warnings

REGION_KEYS = "arn:aws:kms:{}:111122223333:key/{}"
lock = threading.Lock()


class World:
    """All state; what the control lines change."""

    def __init__(self):
        self.blobs = {}
        self.states = {}
        self.transit = {}
        self.accepted = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "")
        self.given = ("ASIAGIVEN", "given-secret", "given/token==", 3600)
        self.token, self.policy, self.lease = "test-token", "all", 3600
        self.role_secret = "the-secret"
        self.reset()

    def reset(self):
        self.fault, self.argument, self.times, self.after = None, "", 0, 0
        self.counts, self.last = {}, {}

    def note(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def take_fault(self):
        """The fault of this request, if any is left."""
        fault = self.fault
        if fault and self.after > 0:
            self.after -= 1
            return None
        if fault and self.times > 0:
            self.times -= 1
            if self.times == 0:
                self.fault = None
        return fault


world = World()


class Failure(Exception):
    """An error answer of AWS."""

    def __init__(self, code, kind, text=""):
        super().__init__(text)
        self.code, self.kind, self.text = code, kind, text


class VaultFailure(Exception):
    """An error answer of Vault."""

    def __init__(self, code, *texts):
        super().__init__(*texts)
        self.code, self.texts = code, texts


# --- Signature Version 4, from the specification and apart from the library's -------------------

def signing_key(secret, day, region, service):
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def check_signature(request, body):
    """The request's (Region, service); raises Failure as KMS does."""
    authorization = request.headers.get("Authorization", "")
    if not authorization.startswith("AWS4-HMAC-SHA256 "):
        raise Failure(400, "MissingAuthenticationTokenException", "no signature")
    parts = dict(p.strip().split("=", 1) for p in authorization.split(" ", 1)[1].split(","))
    key_id, day, region, service, _ = parts["Credential"].split("/")
    names = parts["SignedHeaders"].split(";")
    wanted_id, secret, token = world.accepted
    if key_id != wanted_id:
        raise Failure(400, "UnrecognizedClientException", "The security token is invalid.")
    if request.headers.get("X-Amz-Security-Token", "") != token:
        raise Failure(400, "ExpiredTokenException", "The security token has expired.")
    for needed in ("host", "x-amz-date", "content-type"):
        if needed not in names:
            raise Failure(400, "IncompleteSignatureException", needed)
    canonical = "\n".join(
        [request.command, request.path, ""]
        + [f"{n}:{' '.join(request.headers[n].split())}" for n in names]
        + ["", ";".join(names), hashlib.sha256(body).hexdigest()])
    date = request.headers["X-Amz-Date"]
    text = "\n".join(["AWS4-HMAC-SHA256", date, f"{day}/{region}/{service}/aws4_request",
                      hashlib.sha256(canonical.encode()).hexdigest()])
    good = hmac.new(signing_key(secret, day, region, service), text.encode(), hashlib.sha256)
    if good.hexdigest() != parts["Signature"] or not date.startswith(day):
        raise Failure(400, "InvalidSignatureException", "The signature does not match.")
    return region, service


# --- AWS KMS ------------------------------------------------------------------------------------

def key_arn(region, key_id):
    """The key's ARN, if it is in this Region and may be used."""
    if key_id.startswith("alias/"):
        key_id = "aliased"
    arn = key_id if key_id.startswith("arn:") else REGION_KEYS.format(region, key_id)
    if ":alias/" in arn:
        arn = arn.split(":alias/")[0] + ":key/aliased"
    if arn.split(":")[3] != region:
        raise Failure(400, "NotFoundException", f"Invalid arn {region}")
    if arn.endswith("/gone"):
        raise Failure(400, "NotFoundException", f"Key '{arn}' does not exist")
    return arn


def usable(arn):
    state = world.states.get(arn.split("/")[-1], "Enabled")
    if state == "Disabled":
        raise Failure(400, "DisabledException", f"{arn} is disabled.")
    if state != "Enabled":
        raise Failure(400, "KMSInvalidStateException", f"{arn} is pending deletion.")
    return arn


def material(arn):
    """Replicas of a multi-Region key share it."""
    return arn.split(":")[-1] if "/mrk-" in arn else arn


def wrap(arn, plaintext, context):
    blob = os.urandom(120)
    world.blobs[blob] = (material(arn), plaintext, context)
    return base64.b64encode(blob).decode()


def unwrap(arn, text, context):
    found = world.blobs.get(base64.b64decode(text))
    if found is None or found[2] != context:
        raise Failure(400, "InvalidCiphertextException")
    if found[0] != material(arn):
        raise Failure(400, "IncorrectKeyException", "The key ID does not match.")
    return found[1]


def generate_data_key(region, body):
    arn = usable(key_arn(region, body["KeyId"]))
    plaintext = os.urandom(body["NumberOfBytes"])
    return {"CiphertextBlob": wrap(arn, plaintext, body.get("EncryptionContext", {})),
            "Plaintext": base64.b64encode(plaintext).decode(), "KeyId": arn,
            "KeyMaterialId": "material-1"}


def encrypt(region, body):
    arn = usable(key_arn(region, body["KeyId"]))
    plaintext = base64.b64decode(body["Plaintext"])
    return {"CiphertextBlob": wrap(arn, plaintext, body.get("EncryptionContext", {})),
            "KeyId": arn}


def decrypt(region, body):
    arn = usable(key_arn(region, body["KeyId"]))
    plaintext = unwrap(arn, body["CiphertextBlob"], body.get("EncryptionContext", {}))
    return {"Plaintext": base64.b64encode(plaintext).decode(), "KeyId": arn}


def re_encrypt(region, body):
    source = usable(key_arn(region, body["SourceKeyId"]))
    target = usable(key_arn(region, body["DestinationKeyId"]))
    plaintext = unwrap(source, body["CiphertextBlob"], body.get("SourceEncryptionContext", {}))
    return {"CiphertextBlob": wrap(target, plaintext, body.get("DestinationEncryptionContext", {})),
            "SourceKeyId": source, "KeyId": target, "DestinationKeyMaterialId": "material-2"}


def describe_key(region, body):
    arn = key_arn(region, body["KeyId"])
    state = world.states.get(arn.split("/")[-1], "Enabled")
    return {"KeyMetadata": {"Arn": arn, "KeyState": state, "Enabled": state == "Enabled",
                            "CurrentKeyMaterialId": "material-1"}}


KMS = {"GenerateDataKey": generate_data_key, "Encrypt": encrypt, "Decrypt": decrypt,
       "ReEncrypt": re_encrypt, "DescribeKey": describe_key}


def kms(request, body):
    region, service = check_signature(request, body)
    if service != "kms":
        raise Failure(400, "InvalidSignatureException", service)
    operation = request.headers["X-Amz-Target"].split(".")[1]
    world.note(operation)
    world.last.update(region=region, operation=operation, body=body.decode(),
                      host=request.headers["Host"])
    return KMS[operation](region, json.loads(body))


# --- What hands out credentials -----------------------------------------------------------------

def expiration():
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now + datetime.timedelta(seconds=world.given[3])).strftime("%Y-%m-%dT%H:%M:%SZ")


def sts(request, body):
    form = dict(urllib.parse.parse_qsl(body.decode()))
    action = form["Action"]
    world.note(action)
    world.last.update(action=action, role=form.get("RoleArn", ""),
                      session=form.get("RoleSessionName", ""),
                      external=form.get("ExternalId", ""),
                      identity=form.get("WebIdentityToken", ""))
    if action == "AssumeRole":
        check_signature(request, body)
    if form["RoleArn"].endswith("/denied"):
        return 403, ("<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message>"
                     "</Error></ErrorResponse>")
    key_id, secret, token, _ = world.given
    if action == "AssumeRole":
        # From now on the role's credentials are the ones that KMS takes.
        world.accepted = (key_id, secret, token)
    return 200, (f"<{action}Response><{action}Result><Credentials>"
                 f"<AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
                 f"<SessionToken>{token}</SessionToken><Expiration>{expiration()}</Expiration>"
                 f"</Credentials></{action}Result></{action}Response>")


def metadata(request):
    """(status, text) of IMDSv2 and of container credentials; None for other paths."""
    key_id, secret, token, _ = world.given
    answer = json.dumps({"AccessKeyId": key_id, "SecretAccessKey": secret, "Token": token,
                         "Expiration": expiration()})
    if request.path == "/container":
        world.note("container")
        good = request.headers.get("Authorization") == "container-token"
        return (200, answer) if good else (401, "{}")
    if request.path == "/latest/api/token":
        world.note("imds-token")
        ttl = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        return (200, "imds-token") if request.command == "PUT" and ttl else (405, "")
    if request.path.startswith("/latest/meta-data/"):
        if request.headers.get("X-aws-ec2-metadata-token") != "imds-token":
            return 401, ""
        return (200, "the-role\n") if request.path.endswith("/") else (200, answer)
    return None


# --- Vault's Transit ----------------------------------------------------------------------------

def transit_key(name):
    if name not in world.transit:
        raise VaultFailure(400, "encryption key not found")
    return world.transit[name]


def transit_context(key, body):
    if key["derived"] and not body.get("context"):
        raise VaultFailure(400, "missing 'context' for key derivation; the key was created using a "
                                "derived key, which means additional, per-request information must "
                                "be included in order to perform operations with the key")
    return body.get("context") if key["derived"] else None


def transit_seal(name, key, plaintext, body):
    blob = base64.b64encode(os.urandom(92)).decode()
    text = f"vault:v{key['latest']}:{blob}"
    world.blobs[text] = (name, plaintext, transit_context(key, body))
    return text


def transit_open(name, key, body, failure):
    context = transit_context(key, body)
    text = body.get("ciphertext", "")
    if not text.startswith("vault:v"):
        raise VaultFailure(400, "invalid ciphertext: no prefix")
    version = int(text[7:].split(":")[0])
    if version > key["latest"]:
        raise VaultFailure(400, "invalid ciphertext: version is too new")
    if version < key["floor"]:
        raise VaultFailure(400, "ciphertext or signature version is disallowed by policy (too old)")
    if key["deleted"]:
        raise VaultFailure(400, "key is soft-deleted")
    found = world.blobs.get(text)
    if found is None or found[0] != name or found[2] != context:
        raise VaultFailure(failure, "cipher: message authentication failed")
    return found[1]


def transit(words, request, body):
    name = words[-1]
    if words[0] == "keys" and request.command == "GET":
        if name not in world.transit:
            raise VaultFailure(404)
        key = world.transit[name]
        return {"derived": key["derived"], "latest_version": key["latest"], "name": name,
                "soft_deleted": key["deleted"],
                "keys": {str(v): 1700000000 for v in range(1, key["latest"] + 1)}}
    key = transit_key(name)
    if words[0] == "datakey":
        plaintext = os.urandom(body["bits"] // 8)
        return {"ciphertext": transit_seal(name, key, plaintext, body),
                "plaintext": base64.b64encode(plaintext).decode()}
    if words[0] == "encrypt":
        return {"ciphertext": transit_seal(name, key, base64.b64decode(body["plaintext"]), body)}
    if words[0] == "decrypt":
        return {"plaintext": base64.b64encode(transit_open(name, key, body, 400)).decode()}
    if words[0] == "rewrap":
        return {"ciphertext": transit_seal(name, key, transit_open(name, key, body, 500), body)}
    raise VaultFailure(404, "unsupported path")


def vault_login(body):
    world.note("login")
    if (body.get("role_id"), body.get("secret_id")) != ("the-role", world.role_secret):
        raise VaultFailure(400, "invalid role or secret ID")
    return {"auth": {"client_token": world.token, "lease_duration": world.lease,
                     "renewable": True}}


def vault(request, body):
    words = urllib.parse.unquote(request.path)[len("/v1/"):].split("/")
    body = json.loads(body) if body else {}
    world.last.update(path=request.path, body=json.dumps(body),
                      namespace=request.headers.get("X-Vault-Namespace", ""))
    if words[:2] == ["auth", "approle"]:
        return vault_login(body)
    if request.headers.get("X-Vault-Token") != world.token:
        raise VaultFailure(403, "permission denied")
    if words == ["auth", "token", "lookup-self"] and world.policy != "nothing":
        return {"data": {"ttl": 100}}
    if words == ["auth", "token", "renew-self"]:
        world.note("renew")
        return {"auth": {"client_token": world.token, "lease_duration": world.lease}}
    if world.policy in ("none", "nothing"):
        raise VaultFailure(403, "1 error occurred:\n\t* permission denied\n\n")
    if words[0] != "transit":
        raise VaultFailure(404, f'no handler for route "{request.path[4:]}". route entry not found.')
    world.note(words[1])
    return {"data": transit(words[1:], request, body)}


# --- Faults ---------------------------------------------------------------------------------------

def edit(answer, **members):
    """The same answer with other members, wherever Vault or KMS has them."""
    inner = answer.get("data", answer)
    for name, value in members.items():
        for spelled in (name, name.lower()):
            if spelled in inner:
                inner[spelled] = value
    return json.dumps(answer)


def nested(_):
    return '{"a":' * 2000 + "1" + "}" * 2000


# What becomes of a good answer.
ANSWERS = {
    "html": lambda a: "<html><body>Sign in to the hotel's network</body></html>",
    "empty": lambda a: "",
    "array": lambda a: "[1, 2]",
    "deep": nested,
    "oversized": lambda a: json.dumps({"filler": "x" * 200000}),
    "half": lambda a: json.dumps(a)[:-20],
    "twice": lambda a: json.dumps(a)[:-1] + ',"Plaintext":"AAAA","data":{}}',
    "nul": lambda a: json.dumps(a) + "\0",
    "short": lambda a: edit(a, Plaintext=base64.b64encode(b"\x5a" * 31).decode()),
    "long": lambda a: edit(a, Plaintext=base64.b64encode(b"\x5a" * 200).decode()),
    "zeros": lambda a: edit(a, Plaintext=base64.b64encode(bytes(64)).decode()),
    "other": lambda a: edit(a, Plaintext=base64.b64encode(os.urandom(64)).decode()),
    "number": lambda a: edit(a, Plaintext=64, Ciphertext=64, CiphertextBlob=64),
    "base64": lambda a: edit(a, Plaintext="not base64!", CiphertextBlob="@@@@"),
    "escaped": lambda a: json.dumps(a).replace("/", "\\/"),
    "members": lambda a: "{}",
    "big-blob": lambda a: edit(a, CiphertextBlob=base64.b64encode(bytes(6145)).decode(),
                               Ciphertext="vault:v1:" + "A" * 6200),
    "full-blob": lambda a: edit(a, CiphertextBlob=base64.b64encode(b"b" * 6144).decode()),
    "other-key": lambda a: edit(a, KeyId=REGION_KEYS.format("eu-central-1", "another")),
    "prefix": lambda a: edit(a, Ciphertext="no prefix"),
}


class Handler(http.server.BaseHTTPRequestHandler):
    """One request: a fault of the connection, an answer, or a fault of the answer."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, code, text, **headers):
        data = text.encode() if isinstance(text, str) else text
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def fail_connection(self, fault):
        """True if there is no answer to be given."""
        if fault == "hang":
            time.sleep(30)
        elif fault == "slow":
            time.sleep(int(world.argument) / 1000)
            return False
        elif fault == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            for _ in range(300):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.1)
        elif fault == "garbage":
            self.wfile.write(b"\x00\x01\x02 no HTTP at all\r\n\r\n" * 4)
        elif fault == "cut-body":
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"KeyId":"')
        elif fault == "redirect":
            self.reply(307, "", Location="http://127.0.0.1:1/")
            return True
        elif fault != "cut":
            return False
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
        return True

    def answer(self, fault, work):
        """Runs work, which gives the members of a good answer."""
        try:
            if fault == "error":
                code, kind, text = (world.argument.split(" ", 2) + [""])[:3]
                raise Failure(int(code), kind, text)
            members = work()
            self.reply(200, ANSWERS[fault](members) if fault in ANSWERS else json.dumps(members))
        except Failure as failure:
            if self.path.startswith("/v1/"):
                text = (failure.kind.replace("_", " ") + " " + failure.text).strip()
                self.reply(failure.code, json.dumps({"errors": [text]}))
                return
            self.reply(failure.code, json.dumps({
                "__type": f"com.amazonaws.kms#{failure.kind}:http://example", "message": failure.text}))
        except VaultFailure as failure:
            self.reply(failure.code, json.dumps({"errors": list(failure.texts)}))

    def serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        with lock:
            world.note("all")
            given = metadata(self)
            if given is None and "form-urlencoded" in self.headers.get("Content-Type", ""):
                try:
                    given = sts(self, body)
                except Failure as failure:
                    given = failure.code, f"<Error><Code>{failure.kind}</Code></Error>"
            fault = world.take_fault() if given is None else None
        if given is not None:
            self.reply(*given)
        elif not self.fail_connection(fault):
            with lock:
                work = vault if self.path.startswith("/v1/") else kms
                self.answer(fault, lambda: work(self, body))

    do_GET = do_POST = do_PUT = serve


class Server(http.server.ThreadingHTTPServer):
    """Clients that hang up are part of the tests."""

    daemon_threads = True
    request_queue_size = 256
    context = None

    def handle_error(self, *_):
        pass

    def finish_request(self, request, client_address):
        if self.context is not None:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)


def modern(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def old(certificate):
    """TLS 1.0 and 1.1, whose signatures by SHA-1 OpenSSL 3 makes at level 0 alone."""
    context = modern(certificate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def speaks_old(server, authority):
    """Whether a client that would take anything gets TLS 1.1 there."""
    context = ssl.create_default_context(cafile=authority)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        with socket.create_connection(server.server_address, 10) as plain, \
                context.wrap_socket(plain, server_hostname="127.0.0.1") as speaker:
            return speaker.version() == "TLSv1.1"
    except OSError:
        return False


def listen(context=None):
    server = Server(("127.0.0.1", 0), Handler)
    server.context = context
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def listen_old(directory):
    try:
        server = listen(old(os.path.join(directory, "good.pem")))
    except (OSError, ValueError):
        return 0
    if speaks_old(server, os.path.join(directory, "ca.pem")):
        return server.server_address[1]
    return 0


# --- Control ---------------------------------------------------------------------------------------

def obey(verb, words):
    if verb in ("fault", "error"):
        world.fault = words[0] if verb == "fault" else "error"
        world.argument = " ".join(words[1:] if verb == "fault" else words)
        world.times = world.after = 0
    elif verb in ("times", "after"):
        setattr(world, verb, int(words[0]))
    elif verb == "accept":
        world.accepted = (*words, "")[:3]
    elif verb == "give":
        world.given = (*words[:3], int(words[3]))
    elif verb == "state":
        world.states[words[0]] = words[1]
        if words[0] in world.transit:
            world.transit[words[0]]["deleted"] = words[1] == "Disabled"
    elif verb == "key":
        world.transit[words[0]] = {"derived": words[1] == "derived", "latest": 1, "floor": 1,
                                   "deleted": False}
    elif verb == "rotate":
        world.transit[words[0]]["latest"] += 1
    elif verb == "floor":
        world.transit[words[0]]["floor"] = int(words[1])
    elif verb == "token":
        world.token, world.policy = words[0], words[1] if len(words) > 1 else "all"
    elif verb == "role":
        world.role_secret = words[0]
    elif verb == "lease":
        world.lease = int(words[0])
    elif verb == "count":
        return str(world.counts.get(words[0], 0))
    elif verb == "last":
        return str(world.last.get(words[0], "")).replace("\n", " ")
    elif verb == "reset":
        world.reset()
    else:
        return "unknown"
    return "ok"


def main():
    ports = [listen().server_address[1]]
    if len(sys.argv) > 1:
        ports += [listen(modern(os.path.join(sys.argv[1], f"{name}.pem"))).server_address[1]
                  for name in ("good", "expired", "other")]
        ports.append(listen_old(sys.argv[1]))
    print(*ports, flush=True)
    for line in sys.stdin:
        verb, *words = line.split()
        with lock:
            print(obey(verb, words), flush=True)


if __name__ == "__main__":
    main()
