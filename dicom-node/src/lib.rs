//! dicom-node
