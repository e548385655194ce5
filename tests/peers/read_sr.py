"""Reads a TID 1500 report with highdicom and prints its measurement groups: read_sr.py FILE"""

import sys

import highdicom as hd

report = hd.sr.srread(sys.argv[1])
groups = report.content.get_volumetric_roi_measurement_groups() + report.content.get_planar_roi_measurement_groups()
assert groups, "no measurement group: the annotated nodule should be found"
for group in groups:
    values = {m.name.meaning: (m.value, m.unit.meaning) for m in group.get_measurements()}
    assert group.tracking_uid, "no tracking UID"
    assert len(values) >= 3, values
    print(group.tracking_identifier, values)
