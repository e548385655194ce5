"""An EMR that listens on MLLP: hl7apy's server, frames, parser and validation, nothing of ours.

    mllp_receiver.py PORT OUTDIR [--nack N] [--drop N] [--slow S] [--encoding utf-8|gb18030]

Every message is parsed and validated in strict mode; what hl7apy rejects is answered AE with the reason. An accepted
message is kept as OUTDIR/<control id>.hl7 (a second delivery replaces the first) and answered AA.

--nack N   answer the first N messages AE
--drop N   close the connection in the middle of the first N acknowledgements (after those that --nack refuses)
--slow S   wait S seconds before each answer
--encoding what the route sends; hl7apy does not look at MSH-18
"""

import argparse
import os
import sys
import time
from pathlib import Path

from hl7apy.mllp import AbstractErrorHandler, AbstractHandler, MLLPRequestHandler, MLLPServer

from validate_hl7 import validate


class Emr:
    """What all connections share."""

    def __init__(self, options):
        self.folder = Path(options.folder)
        self.nack, self.drop, self.slow = options.nack, options.drop, options.slow
        self.encoding = options.encoding


def control_id(text):
    return text.split("\r")[0].split("|")[9]


def acknowledgement(text, code, reason=""):
    header = "MSH|^~\\&|EMR|H|YINGHAI|H|20261123040001+0800||ACK^R01^ACK|A1|P|2.5.1"
    return f"\x0b{header}\rMSA|{code}|{control_id(text)}|{reason}\r\x1c\r"


class OruHandler(AbstractHandler):
    """Files one ORU^R01."""

    def __init__(self, message, emr):
        super().__init__(message)
        self.emr = emr

    def reply(self):
        text = self.incoming_message
        time.sleep(self.emr.slow)
        if self.emr.nack > 0:
            self.emr.nack -= 1
            return acknowledgement(text, "AE", "busy")
        try:
            summary = validate(text)
        except Exception as error:
            print(f"refused: {error}", flush=True)
            return acknowledgement(text, "AE", f"{type(error).__name__} {error}".replace("|", " ").replace("\r", " "))
        self.keep(text)
        print(f"kept: {summary}", flush=True)
        if self.emr.drop > 0:
            self.emr.drop -= 1
            return acknowledgement(text, "AA")[:20]
        return acknowledgement(text, "AA", "filed")

    def keep(self, text):
        # Renamed into place, so that nobody who watches the folder sees half a message.
        part = self.emr.folder / f".{control_id(text)}.part"
        part.write_bytes(text.encode(self.emr.encoding))
        os.replace(part, self.emr.folder / f"{control_id(text)}.hl7")


class ErrorHandler(AbstractErrorHandler):
    """Anything that is no ORU^R01."""

    def __init__(self, error, message, emr):
        super().__init__(error, message)
        self.emr = emr

    def reply(self):
        print(f"not an ORU^R01: {self.exc}", flush=True)
        return acknowledgement(self.incoming_message, "AR", str(self.exc))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("folder")
    parser.add_argument("--nack", type=int, default=0)
    parser.add_argument("--drop", type=int, default=0)
    parser.add_argument("--slow", type=float, default=0)
    parser.add_argument("--encoding", default="utf-8")
    options = parser.parse_args()
    MLLPRequestHandler.encoding = options.encoding
    emr = Emr(options)
    emr.folder.mkdir(parents=True, exist_ok=True)
    handlers = {"ORU^R01^ORU_R01": (OruHandler, emr), "ERR": (ErrorHandler, emr)}
    server = MLLPServer("127.0.0.1", options.port, handlers)
    print(f"listening on 127.0.0.1:{options.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
