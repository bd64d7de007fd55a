# SPDX-License-Identifier: BSD-2-Clause
"""moto's AWS KMS on a loopback port, told by lines of standard input, or by arguments.

usage: moto_kms.py                     serve: prints "PORT", ends with its input
       moto_kms.py URL VERB [WORD]...  one line to a server that runs

    create [mrk]        a new key; answers its ARN
    alias NAME ARN      NAME begins with alias/
    disable, enable, schedule, cancel ARN
    reset, count, last  answered for the suites' sake

It runs in the virtual environment that `make deps-kms` makes.  moto keeps the state of a key and
answers DescribeKey with it, and uses the key all the same: what a key that is disabled or pending
deletion answers is added here, as the service's documentation has it.
"""

import functools
import logging
import sys

import boto3
from moto.core.exceptions import JsonRESTError
from moto.kms.responses import KmsResponse
from moto.server import ThreadedMotoServer

REGION = "eu-central-1"


def key_of_blob(response):
    """The key that made the blob: moto writes its id in front."""
    blob = response._get_param("CiphertextBlob")
    return bytes(blob[:36]).decode("ascii", "replace") if blob else None


def require_enabled(response, key_id):
    backend = response.kms_backend
    if not key_id:
        return
    key = backend.keys.get(backend.any_id_to_key_id(key_id))
    if key is None or key.key_state == "Enabled":
        return
    if key.key_state == "Disabled":
        raise JsonRESTError("DisabledException", f"{key.arn} is disabled.")
    raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is pending deletion.")


def gated(method):
    @functools.wraps(method)
    def wrapper(self):
        for name in ("KeyId", "SourceKeyId", "DestinationKeyId"):
            require_enabled(self, self._get_param(name))
        require_enabled(self, key_of_blob(self))
        return method(self)

    return wrapper


def obey(client, verb, words):
    # moto's own administration takes ids, where the service takes ARNs too.
    words = [word.split(":key/")[-1] for word in words]
    if verb == "create":
        made = client.create_key(MultiRegion=words == ["mrk"])
        return made["KeyMetadata"]["Arn"]
    if verb == "alias":
        client.create_alias(AliasName=words[0], TargetKeyId=words[1])
    elif verb == "disable":
        client.disable_key(KeyId=words[0])
    elif verb == "enable":
        client.enable_key(KeyId=words[0])
    elif verb == "schedule":
        client.schedule_key_deletion(KeyId=words[0], PendingWindowInDays=7)
    elif verb == "cancel":
        client.cancel_key_deletion(KeyId=words[0])
    elif verb not in ("reset", "count", "last"):
        return "unknown"
    return "ok"


def connect(url):
    return boto3.client("kms", region_name=REGION, endpoint_url=url, aws_access_key_id="test",
                        aws_secret_access_key="test")


def serve():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    for name in ("decrypt", "encrypt", "re_encrypt", "generate_data_key"):
        setattr(KmsResponse, name, gated(getattr(KmsResponse, name)))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    client = connect(f"http://127.0.0.1:{port}")
    print(port, flush=True)
    for line in sys.stdin:
        verb, *words = line.split()
        print(obey(client, verb, words), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(obey(connect(sys.argv[1]), sys.argv[2], sys.argv[3:]))
    else:
        serve()
