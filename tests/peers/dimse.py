"""pynetdicom as modality and workstation: dimse.py PORT FOLDER-WITH-DICOM-FILES"""

import pathlib
import sys

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind as Find,
    Verification,
)

import steady  # noqa: F401

port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
files = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]

ae = AE("PYTHON")
ae.add_requested_context(Verification)
ae.add_requested_context(Find)
ae.add_requested_context(CTImageStorage, list({f.file_meta.TransferSyntaxUID for f in files}))
association = ae.associate("127.0.0.1", port, ae_title="YINGHAI")
assert association.is_established, "no association"

assert association.send_c_echo().Status == 0x0000

for file in files:
    assert association.send_c_store(file).Status == 0x0000, file.filename

# Same bytes again: success, and nothing is stored twice.
assert association.send_c_store(files[0]).Status == 0x0000

# A UID that tries to be a path is refused, and the association goes on.
hostile = pydicom.dcmread(files[0].filename)
hostile.SOPInstanceUID = hostile.file_meta.MediaStorageSOPInstanceUID = "1.2.3/../../escaped"
assert association.send_c_store(hostile).Status not in (0x0000, None), "a path was taken for a UID"

# Without a Study Instance UID it cannot be found again.
homeless = pydicom.dcmread(files[0].filename)
del homeless.StudyInstanceUID
homeless.SOPInstanceUID = homeless.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
assert association.send_c_store(homeless).Status not in (0x0000, None)

query = Dataset()
query.QueryRetrieveLevel = "IMAGE"
query.StudyInstanceUID = files[0].StudyInstanceUID
query.SeriesInstanceUID = files[0].SeriesInstanceUID
query.SOPInstanceUID = ""
query.InstanceNumber = ""
answers = [identifier for status, identifier in association.send_c_find(query, Find) if status and status.Status == 0xFF00]
assert {a.SOPInstanceUID for a in answers} == {f.SOPInstanceUID for f in files}, f"{len(answers)} of {len(files)}"

# A level that does not exist is an error, not a crash.
query.QueryRetrieveLevel = "NONSENSE"
statuses = [status.Status for status, _ in association.send_c_find(query, Find) if status]
assert statuses and statuses[-1] not in (0x0000, 0xFF00), statuses

assert association.send_c_echo().Status == 0x0000
association.release()
print("all is well")
