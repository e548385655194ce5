"""pynetdicom asks for names as somebody types them: fuzzy.py PORT, one name after the other on the command line"""

import sys

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find

import steady  # noqa: F401


def found(name, wanted):
    ae = AE("PYTHON")
    ae.add_requested_context(Find)
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = Find, wanted
    association = ae.associate("127.0.0.1", int(sys.argv[1]), ae_title="YINGHAI", ext_neg=[item])
    granted = association.acceptor.sop_class_extended[Find]
    query = Dataset()
    query.SpecificCharacterSet = "ISO_IR 192"
    query.QueryRetrieveLevel, query.PatientName = "STUDY", name
    answers = [str(ds.PatientName) for status, ds in association.send_c_find(query, Find) if status.Status == 0xFF00]
    association.release()
    return granted, answers


for name in sys.argv[2:]:
    granted, fuzzy = found(name, b"\x01\x00\x01")
    assert granted == b"\x01\x00\x01", granted
    _, strict = found(name, b"\x01\x00\x00")
    print(f"{name}: {len(strict)} strict, {' '.join(fuzzy)}")
