"""A pynetdicom peer: echo, store and find with extended negotiation, user identity and asynchronous operations asked.

Usage: pynetdicom_peer.py HOST PORT FILE
"""
import sys

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation, SOPClassExtendedNegotiation
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRootFind, Verification

host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
image = dcmread(path)
ae = AE(ae_title="PYNETDICOM")
ae.add_requested_context(Verification)
ae.add_requested_context(StudyRootFind)
ae.add_requested_context(image.SOPClassUID, image.file_meta.TransferSyntaxUID)
window = AsynchronousOperationsWindowNegotiation()
window.maximum_number_operations_invoked, window.maximum_number_operations_performed = 5, 5
extended = SOPClassExtendedNegotiation()
extended.sop_class_uid, extended.service_class_application_information = StudyRootFind, b"\x01\x01"

association = ae.associate(host, port, ae_title="YINGHAI", ext_neg=[window, extended])
assert association.is_established
assert association.acceptor.asynchronous_operations == (5, 1), association.acceptor.asynchronous_operations
assert association.acceptor.sop_class_extended == {StudyRootFind: b"\x01\x01"}
assert association.send_c_echo(msg_id=77).Status == 0
assert association.send_c_store(image).Status == 0

query = Dataset()
query.QueryRetrieveLevel, query.PatientName, query.StudyInstanceUID = "STUDY", "", image.StudyInstanceUID
matches = [found for status, found in association.send_c_find(query, StudyRootFind) if status.Status in (0xFF00, 0xFF01)]
assert [found.StudyInstanceUID for found in matches] == [image.StudyInstanceUID], matches
assert matches[0].RetrieveAETitle == "YINGHAI"
association.release()
print("all answered")
