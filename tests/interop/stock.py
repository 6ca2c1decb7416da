"""What the PyPI package sd-jwt makes of our credentials, with jwcrypto and zlib for status lists.

Reads a file of cases and writes one line of JSON: for each case whether it was accepted, and
otherwise who refused it. `library` is the package itself; `caller` are the checks that the package
leaves to whoever uses it, as README.md beside this file lists them. tests/tests/interop.rs makes
the cases and judges the answers.

    python stock.py verify|present|statuses CASES.json
"""

import base64
import json
import sys
import zlib

import sd_jwt.holder
import sd_jwt.verifier
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

# The package asks for ES256 in a key-binding JWT unless it is told otherwise.
sd_jwt.verifier.DEFAULT_SIGNING_ALG = "Ed25519"

# Seconds that a presentation stays fresh, and that its clock may be ahead (level A).
FRESH_S, AHEAD_S = 60, 10
VALID = 0


class CallerRefused(Exception):
    """A check that the package leaves to its caller."""


def demand(holds, why):
    if not holds:
        raise CallerRefused(why)


def decoded(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def check_header(jwt, typ):
    header = decoded(jwt.split(".")[0])
    demand(header.get("alg") == "Ed25519", f"alg is {header.get('alg')}")
    demand(header.get("typ") == typ, f"typ is {header.get('typ')}")


def check_times(payload, now):
    demand(payload.get("nbf", now) <= now, "not yet valid")
    demand(now < payload.get("exp", now + 1), "expired")


def read_list(token):
    """The list of a token whose signature has been checked."""
    status_list = decoded(token.split(".")[1])["status_list"]
    lst = status_list["lst"]
    packed = base64.urlsafe_b64decode(lst + "=" * (-len(lst) % 4))
    return status_list["bits"], zlib.decompress(packed)


def status_at(token, place):
    bits, unpacked = read_list(token)
    byte, shift = divmod(place * bits, 8)
    return unpacked[byte] >> shift & ((1 << bits) - 1)


def check_status(payload, given, case):
    """The package knows no status lists: this is the caller's part from beginning to end."""
    reference = payload["status"]["status_list"]
    token = case["lists"].get(reference["uri"])
    demand(token is not None, "no status list at that address")
    check_header(token, "statuslist+jwt")
    signed = JWS()
    signed.deserialize(token)
    signed.verify(JWK(**given["status_key"]), alg="Ed25519")
    claims = json.loads(signed.payload)
    demand(claims["sub"] == reference["uri"], "the list is of another address")
    check_times(claims, case["now"])
    status = status_at(token, reference["idx"])
    demand(status == VALID, f"the status is {status}")


def judge(given, case):
    presentation, now = case["presentation"], case["now"]
    verifier = sd_jwt.verifier.SDJWTVerifier(
        presentation,
        lambda _issuer, _header: JWK(**given["issuer_key"]),
        case.get("audience"),
        case.get("nonce"),
    )
    payload = verifier.get_verified_payload()
    check_header(presentation.split("~")[0], "dc+sd-jwt")
    check_times(payload, now)
    if case.get("nonce") is not None:
        binding = presentation.split("~")[-1]
        age = now - decoded(binding.split(".")[1])["iat"]
        demand(-AHEAD_S <= age <= FRESH_S, "the presentation is not fresh")
    check_status(payload, given, case)
    return payload


def answer(given, case):
    try:
        return {"name": case["name"], "accepted": True, "claims": judge(given, case)}
    except CallerRefused as error:
        return {"name": case["name"], "accepted": False, "by": "caller", "error": str(error)}
    except Exception as error:  # whatever the library throws, it has refused
        return {"name": case["name"], "accepted": False, "by": "library", "error": repr(error)}


def present(given):
    holder = sd_jwt.holder.SDJWTHolder(given["credential"])
    holder.create_presentation(
        {name: True for name in given["show"]},
        given["nonce"],
        given["audience"],
        JWK(**given["holder_key"]),
        sign_alg="Ed25519",
    )
    return holder.sd_jwt_presentation


def main():
    what, file = sys.argv[1:]
    with open(file, encoding="utf-8") as opened:
        given = json.load(opened)
    answers = {
        "verify": lambda: [answer(given, case) for case in given["cases"]],
        "present": lambda: present(given),
        "statuses": lambda: [status_at(given["token"], place) for place in given["places"]],
    }
    print(json.dumps(answers[what]()))


main()
