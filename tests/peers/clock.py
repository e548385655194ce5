"""pynetdicom asks with combined date and time and in its own time zone: clock.py PORT, then one question an argument, of
options (c combined, z zone) and keys: "cz TimezoneOffsetFromUTC=+0000 StudyDate=20240102- StudyTime=09-". Each answer is a
line of date, time and zone."""

import sys

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find

import steady  # noqa: F401

for question in sys.argv[2:]:
    options, *keys = question.split(" ")
    wanted = bytes([1, "c" in options, 0, "z" in options, 1])
    ae = AE("PYTHON")
    ae.add_requested_context(Find)
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = Find, wanted
    association = ae.associate("127.0.0.1", int(sys.argv[1]), ae_title="YINGHAI", ext_neg=[item])
    assert association.acceptor.sop_class_extended[Find] == wanted[:4] + b"\x00"
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyDate, query.StudyTime = "STUDY", "", ""
    for key in keys:
        name, value = key.split("=")
        setattr(query, name, value)
    for status, match in association.send_c_find(query, Find):
        if match is not None:
            print(f"{question}: {match.StudyDate} {match.StudyTime} {match.get('TimezoneOffsetFromUTC')}")
        elif status.Status != 0:
            print(f"{question}: status {status.Status:04X}")
    association.release()
