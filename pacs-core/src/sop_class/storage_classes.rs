//! The Storage SOP Classes by UID: PS3.4 Tables B.5-1 and GG.3-1 with the names of PS3.6 Table A-1, as of 2025.

use dicom_dictionary_std::uids;

/// A Storage SOP Class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageClass {
    pub uid: &'static str,
    pub name: &'static str,
    /// Only old instances are of it.
    pub is_retired: bool,
}

/// The Storage SOP Class of a UID, if the standard has or had it.
pub fn storage_class(uid: &str) -> Option<&'static StorageClass> {
    STORAGE_CLASSES.iter().find(|class| class.uid == uid)
}

const fn current(uid: &'static str, name: &'static str) -> StorageClass {
    StorageClass { uid, name, is_retired: false }
}

const fn retired(uid: &'static str, name: &'static str) -> StorageClass {
    StorageClass { uid, name, is_retired: true }
}

/// All of them: first those in force, then the retired ones (PS3.4 §B.6 and earlier editions).
pub static STORAGE_CLASSES: &[StorageClass] = &[
    current(uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE, "Computed Radiography Image Storage"),
    current(uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION, "Digital X-Ray Image Storage - For Presentation"),
    current(uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PROCESSING, "Digital X-Ray Image Storage - For Processing"),
    current(
        uids::DIGITAL_MAMMOGRAPHY_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
        "Digital Mammography X-Ray Image Storage - For Presentation",
    ),
    current(
        uids::DIGITAL_MAMMOGRAPHY_X_RAY_IMAGE_STORAGE_FOR_PROCESSING,
        "Digital Mammography X-Ray Image Storage - For Processing",
    ),
    current(
        uids::DIGITAL_INTRA_ORAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
        "Digital Intra-Oral X-Ray Image Storage - For Presentation",
    ),
    current(
        uids::DIGITAL_INTRA_ORAL_X_RAY_IMAGE_STORAGE_FOR_PROCESSING,
        "Digital Intra-Oral X-Ray Image Storage - For Processing",
    ),
    current(uids::CT_IMAGE_STORAGE, "CT Image Storage"),
    current(uids::ENHANCED_CT_IMAGE_STORAGE, "Enhanced CT Image Storage"),
    current(uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE, "Legacy Converted Enhanced CT Image Storage"),
    current(uids::CT_IMAGE_STORAGE_FOR_PROCESSING, "CT Image Storage - For Processing"),
    current(uids::ENHANCED_CT_IMAGE_STORAGE_FOR_PROCESSING, "Enhanced CT Image Storage - For Processing"),
    current(
        uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE_FOR_PROCESSING,
        "Legacy Converted Enhanced CT Image Storage - For Processing",
    ),
    current(uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE, "Ultrasound Multi-frame Image Storage"),
    current(uids::MR_IMAGE_STORAGE, "MR Image Storage"),
    current(uids::ENHANCED_MR_IMAGE_STORAGE, "Enhanced MR Image Storage"),
    current(uids::MR_SPECTROSCOPY_STORAGE, "MR Spectroscopy Storage"),
    current(uids::ENHANCED_MR_COLOR_IMAGE_STORAGE, "Enhanced MR Color Image Storage"),
    current(uids::LEGACY_CONVERTED_ENHANCED_MR_IMAGE_STORAGE, "Legacy Converted Enhanced MR Image Storage"),
    current(uids::ULTRASOUND_IMAGE_STORAGE, "Ultrasound Image Storage"),
    current(uids::ENHANCED_US_VOLUME_STORAGE, "Enhanced US Volume Storage"),
    current(uids::PHOTOACOUSTIC_IMAGE_STORAGE, "Photoacoustic Image Storage"),
    current(uids::SECONDARY_CAPTURE_IMAGE_STORAGE, "Secondary Capture Image Storage"),
    current(
        uids::MULTI_FRAME_SINGLE_BIT_SECONDARY_CAPTURE_IMAGE_STORAGE,
        "Multi-frame Single Bit Secondary Capture Image Storage",
    ),
    current(
        uids::MULTI_FRAME_GRAYSCALE_BYTE_SECONDARY_CAPTURE_IMAGE_STORAGE,
        "Multi-frame Grayscale Byte Secondary Capture Image Storage",
    ),
    current(
        uids::MULTI_FRAME_GRAYSCALE_WORD_SECONDARY_CAPTURE_IMAGE_STORAGE,
        "Multi-frame Grayscale Word Secondary Capture Image Storage",
    ),
    current(
        uids::MULTI_FRAME_TRUE_COLOR_SECONDARY_CAPTURE_IMAGE_STORAGE,
        "Multi-frame True Color Secondary Capture Image Storage",
    ),
    current(uids::TWELVE_LEAD_ECG_WAVEFORM_STORAGE, "12-lead ECG Waveform Storage"),
    current(uids::GENERAL_ECG_WAVEFORM_STORAGE, "General ECG Waveform Storage"),
    current(uids::AMBULATORY_ECG_WAVEFORM_STORAGE, "Ambulatory ECG Waveform Storage"),
    current(uids::GENERAL32BIT_ECG_WAVEFORM_STORAGE, "General 32-bit ECG Waveform Storage"),
    current(uids::HEMODYNAMIC_WAVEFORM_STORAGE, "Hemodynamic Waveform Storage"),
    current(uids::CARDIAC_ELECTROPHYSIOLOGY_WAVEFORM_STORAGE, "Cardiac Electrophysiology Waveform Storage"),
    current(uids::BASIC_VOICE_AUDIO_WAVEFORM_STORAGE, "Basic Voice Audio Waveform Storage"),
    current(uids::GENERAL_AUDIO_WAVEFORM_STORAGE, "General Audio Waveform Storage"),
    current(uids::ARTERIAL_PULSE_WAVEFORM_STORAGE, "Arterial Pulse Waveform Storage"),
    current(uids::RESPIRATORY_WAVEFORM_STORAGE, "Respiratory Waveform Storage"),
    current(uids::MULTICHANNEL_RESPIRATORY_WAVEFORM_STORAGE, "Multi-channel Respiratory Waveform Storage"),
    current(
        uids::ROUTINE_SCALP_ELECTROENCEPHALOGRAM_WAVEFORM_STORAGE,
        "Routine Scalp Electroencephalogram Waveform Storage",
    ),
    current(uids::ELECTROMYOGRAM_WAVEFORM_STORAGE, "Electromyogram Waveform Storage"),
    current(uids::ELECTROOCULOGRAM_WAVEFORM_STORAGE, "Electrooculogram Waveform Storage"),
    current(uids::SLEEP_ELECTROENCEPHALOGRAM_WAVEFORM_STORAGE, "Sleep Electroencephalogram Waveform Storage"),
    current(uids::BODY_POSITION_WAVEFORM_STORAGE, "Body Position Waveform Storage"),
    current(uids::WAVEFORM_PRESENTATION_STATE_STORAGE, "Waveform Presentation State Storage"),
    current(uids::WAVEFORM_ACQUISITION_PRESENTATION_STATE_STORAGE, "Waveform Acquisition Presentation State Storage"),
    current(uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE, "Grayscale Softcopy Presentation State Storage"),
    current(uids::COLOR_SOFTCOPY_PRESENTATION_STATE_STORAGE, "Color Softcopy Presentation State Storage"),
    current(uids::PSEUDO_COLOR_SOFTCOPY_PRESENTATION_STATE_STORAGE, "Pseudo-Color Softcopy Presentation State Storage"),
    current(uids::BLENDING_SOFTCOPY_PRESENTATION_STATE_STORAGE, "Blending Softcopy Presentation State Storage"),
    current(
        uids::XAXRF_GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE,
        "XA/XRF Grayscale Softcopy Presentation State Storage",
    ),
    current(
        uids::GRAYSCALE_PLANAR_MPR_VOLUMETRIC_PRESENTATION_STATE_STORAGE,
        "Grayscale Planar MPR Volumetric Presentation State Storage",
    ),
    current(
        uids::COMPOSITING_PLANAR_MPR_VOLUMETRIC_PRESENTATION_STATE_STORAGE,
        "Compositing Planar MPR Volumetric Presentation State Storage",
    ),
    current(uids::ADVANCED_BLENDING_PRESENTATION_STATE_STORAGE, "Advanced Blending Presentation State Storage"),
    current(
        uids::VOLUME_RENDERING_VOLUMETRIC_PRESENTATION_STATE_STORAGE,
        "Volume Rendering Volumetric Presentation State Storage",
    ),
    current(
        uids::SEGMENTED_VOLUME_RENDERING_VOLUMETRIC_PRESENTATION_STATE_STORAGE,
        "Segmented Volume Rendering Volumetric Presentation State Storage",
    ),
    current(
        uids::MULTIPLE_VOLUME_RENDERING_VOLUMETRIC_PRESENTATION_STATE_STORAGE,
        "Multiple Volume Rendering Volumetric Presentation State Storage",
    ),
    current(
        uids::VARIABLE_MODALITY_LUT_SOFTCOPY_PRESENTATION_STATE_STORAGE,
        "Variable Modality LUT Softcopy Presentation State Storage",
    ),
    current(uids::X_RAY_ANGIOGRAPHIC_IMAGE_STORAGE, "X-Ray Angiographic Image Storage"),
    current(uids::ENHANCED_XA_IMAGE_STORAGE, "Enhanced XA Image Storage"),
    current(uids::X_RAY_RADIOFLUOROSCOPIC_IMAGE_STORAGE, "X-Ray Radiofluoroscopic Image Storage"),
    current(uids::ENHANCED_XRF_IMAGE_STORAGE, "Enhanced XRF Image Storage"),
    current(uids::X_RAY3_D_ANGIOGRAPHIC_IMAGE_STORAGE, "X-Ray 3D Angiographic Image Storage"),
    current(uids::X_RAY3_D_CRANIOFACIAL_IMAGE_STORAGE, "X-Ray 3D Craniofacial Image Storage"),
    current(uids::BREAST_TOMOSYNTHESIS_IMAGE_STORAGE, "Breast Tomosynthesis Image Storage"),
    current(
        uids::BREAST_PROJECTION_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
        "Breast Projection X-Ray Image Storage - For Presentation",
    ),
    current(
        uids::BREAST_PROJECTION_X_RAY_IMAGE_STORAGE_FOR_PROCESSING,
        "Breast Projection X-Ray Image Storage - For Processing",
    ),
    current(
        uids::INTRAVASCULAR_OPTICAL_COHERENCE_TOMOGRAPHY_IMAGE_STORAGE_FOR_PRESENTATION,
        "Intravascular Optical Coherence Tomography Image Storage - For Presentation",
    ),
    current(
        uids::INTRAVASCULAR_OPTICAL_COHERENCE_TOMOGRAPHY_IMAGE_STORAGE_FOR_PROCESSING,
        "Intravascular Optical Coherence Tomography Image Storage - For Processing",
    ),
    current(uids::NUCLEAR_MEDICINE_IMAGE_STORAGE, "Nuclear Medicine Image Storage"),
    current(uids::PARAMETRIC_MAP_STORAGE, "Parametric Map Storage"),
    current(uids::RAW_DATA_STORAGE, "Raw Data Storage"),
    current(uids::SPATIAL_REGISTRATION_STORAGE, "Spatial Registration Storage"),
    current(uids::SPATIAL_FIDUCIALS_STORAGE, "Spatial Fiducials Storage"),
    current(uids::DEFORMABLE_SPATIAL_REGISTRATION_STORAGE, "Deformable Spatial Registration Storage"),
    current(uids::SEGMENTATION_STORAGE, "Segmentation Storage"),
    current(uids::SURFACE_SEGMENTATION_STORAGE, "Surface Segmentation Storage"),
    current(uids::TRACTOGRAPHY_RESULTS_STORAGE, "Tractography Results Storage"),
    current(uids::LABEL_MAP_SEGMENTATION_STORAGE, "Label Map Segmentation Storage"),
    current(uids::HEIGHT_MAP_SEGMENTATION_STORAGE, "Height Map Segmentation Storage"),
    current(uids::REAL_WORLD_VALUE_MAPPING_STORAGE, "Real World Value Mapping Storage"),
    current(uids::SURFACE_SCAN_MESH_STORAGE, "Surface Scan Mesh Storage"),
    current(uids::SURFACE_SCAN_POINT_CLOUD_STORAGE, "Surface Scan Point Cloud Storage"),
    current(uids::VL_ENDOSCOPIC_IMAGE_STORAGE, "VL Endoscopic Image Storage"),
    current(uids::VIDEO_ENDOSCOPIC_IMAGE_STORAGE, "Video Endoscopic Image Storage"),
    current(uids::VL_MICROSCOPIC_IMAGE_STORAGE, "VL Microscopic Image Storage"),
    current(uids::VIDEO_MICROSCOPIC_IMAGE_STORAGE, "Video Microscopic Image Storage"),
    current(uids::VL_SLIDE_COORDINATES_MICROSCOPIC_IMAGE_STORAGE, "VL Slide-Coordinates Microscopic Image Storage"),
    current(uids::VL_PHOTOGRAPHIC_IMAGE_STORAGE, "VL Photographic Image Storage"),
    current(uids::VIDEO_PHOTOGRAPHIC_IMAGE_STORAGE, "Video Photographic Image Storage"),
    current(uids::OPHTHALMIC_PHOTOGRAPHY8_BIT_IMAGE_STORAGE, "Ophthalmic Photography 8 Bit Image Storage"),
    current(uids::OPHTHALMIC_PHOTOGRAPHY16_BIT_IMAGE_STORAGE, "Ophthalmic Photography 16 Bit Image Storage"),
    current(uids::STEREOMETRIC_RELATIONSHIP_STORAGE, "Stereometric Relationship Storage"),
    current(uids::OPHTHALMIC_TOMOGRAPHY_IMAGE_STORAGE, "Ophthalmic Tomography Image Storage"),
    current(
        uids::WIDE_FIELD_OPHTHALMIC_PHOTOGRAPHY_STEREOGRAPHIC_PROJECTION_IMAGE_STORAGE,
        "Wide Field Ophthalmic Photography Stereographic Projection Image Storage",
    ),
    current(
        uids::WIDE_FIELD_OPHTHALMIC_PHOTOGRAPHY3_D_COORDINATES_IMAGE_STORAGE,
        "Wide Field Ophthalmic Photography 3D Coordinates Image Storage",
    ),
    current(
        uids::OPHTHALMIC_OPTICAL_COHERENCE_TOMOGRAPHY_EN_FACE_IMAGE_STORAGE,
        "Ophthalmic Optical Coherence Tomography En Face Image Storage",
    ),
    current(
        uids::OPHTHALMIC_OPTICAL_COHERENCE_TOMOGRAPHY_BSCAN_VOLUME_ANALYSIS_STORAGE,
        "Ophthalmic Optical Coherence Tomography B-scan Volume Analysis Storage",
    ),
    current(uids::VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE, "VL Whole Slide Microscopy Image Storage"),
    current(uids::DERMOSCOPIC_PHOTOGRAPHY_IMAGE_STORAGE, "Dermoscopic Photography Image Storage"),
    current(uids::CONFOCAL_MICROSCOPY_IMAGE_STORAGE, "Confocal Microscopy Image Storage"),
    current(
        uids::CONFOCAL_MICROSCOPY_TILED_PYRAMIDAL_IMAGE_STORAGE,
        "Confocal Microscopy Tiled Pyramidal Image Storage",
    ),
    current(uids::LENSOMETRY_MEASUREMENTS_STORAGE, "Lensometry Measurements Storage"),
    current(uids::AUTOREFRACTION_MEASUREMENTS_STORAGE, "Autorefraction Measurements Storage"),
    current(uids::KERATOMETRY_MEASUREMENTS_STORAGE, "Keratometry Measurements Storage"),
    current(uids::SUBJECTIVE_REFRACTION_MEASUREMENTS_STORAGE, "Subjective Refraction Measurements Storage"),
    current(uids::VISUAL_ACUITY_MEASUREMENTS_STORAGE, "Visual Acuity Measurements Storage"),
    current(uids::SPECTACLE_PRESCRIPTION_REPORT_STORAGE, "Spectacle Prescription Report Storage"),
    current(uids::OPHTHALMIC_AXIAL_MEASUREMENTS_STORAGE, "Ophthalmic Axial Measurements Storage"),
    current(uids::INTRAOCULAR_LENS_CALCULATIONS_STORAGE, "Intraocular Lens Calculations Storage"),
    current(uids::MACULAR_GRID_THICKNESS_AND_VOLUME_REPORT_STORAGE, "Macular Grid Thickness and Volume Report Storage"),
    current(
        uids::OPHTHALMIC_VISUAL_FIELD_STATIC_PERIMETRY_MEASUREMENTS_STORAGE,
        "Ophthalmic Visual Field Static Perimetry Measurements Storage",
    ),
    current(uids::OPHTHALMIC_THICKNESS_MAP_STORAGE, "Ophthalmic Thickness Map Storage"),
    current(uids::CORNEAL_TOPOGRAPHY_MAP_STORAGE, "Corneal Topography Map Storage"),
    current(uids::BASIC_TEXT_SR_STORAGE, "Basic Text SR Storage"),
    current(uids::ENHANCED_SR_STORAGE, "Enhanced SR Storage"),
    current(uids::COMPREHENSIVE_SR_STORAGE, "Comprehensive SR Storage"),
    current(uids::COMPREHENSIVE3_DSR_STORAGE, "Comprehensive 3D SR Storage"),
    current(uids::EXTENSIBLE_SR_STORAGE, "Extensible SR Storage"),
    current(uids::PROCEDURE_LOG_STORAGE, "Procedure Log Storage"),
    current(uids::MAMMOGRAPHY_CADSR_STORAGE, "Mammography CAD SR Storage"),
    current(uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE, "Key Object Selection Document Storage"),
    current(uids::CHEST_CADSR_STORAGE, "Chest CAD SR Storage"),
    current(uids::X_RAY_RADIATION_DOSE_SR_STORAGE, "X-Ray Radiation Dose SR Storage"),
    current(uids::RADIOPHARMACEUTICAL_RADIATION_DOSE_SR_STORAGE, "Radiopharmaceutical Radiation Dose SR Storage"),
    current(uids::COLON_CADSR_STORAGE, "Colon CAD SR Storage"),
    current(uids::IMPLANTATION_PLAN_SR_STORAGE, "Implantation Plan SR Storage"),
    current(uids::ACQUISITION_CONTEXT_SR_STORAGE, "Acquisition Context SR Storage"),
    current(uids::SIMPLIFIED_ADULT_ECHO_SR_STORAGE, "Simplified Adult Echo SR Storage"),
    current(uids::PATIENT_RADIATION_DOSE_SR_STORAGE, "Patient Radiation Dose SR Storage"),
    current(uids::PLANNED_IMAGING_AGENT_ADMINISTRATION_SR_STORAGE, "Planned Imaging Agent Administration SR Storage"),
    current(
        uids::PERFORMED_IMAGING_AGENT_ADMINISTRATION_SR_STORAGE,
        "Performed Imaging Agent Administration SR Storage",
    ),
    current(uids::ENHANCED_X_RAY_RADIATION_DOSE_SR_STORAGE, "Enhanced X-Ray Radiation Dose SR Storage"),
    current(uids::WAVEFORM_ANNOTATION_SR_STORAGE, "Waveform Annotation SR Storage"),
    current(uids::CONTENT_ASSESSMENT_RESULTS_STORAGE, "Content Assessment Results Storage"),
    current(uids::MICROSCOPY_BULK_SIMPLE_ANNOTATIONS_STORAGE, "Microscopy Bulk Simple Annotations Storage"),
    current(uids::ENCAPSULATED_PDF_STORAGE, "Encapsulated PDF Storage"),
    current(uids::ENCAPSULATED_CDA_STORAGE, "Encapsulated CDA Storage"),
    current(uids::ENCAPSULATED_STL_STORAGE, "Encapsulated STL Storage"),
    current(uids::ENCAPSULATED_OBJ_STORAGE, "Encapsulated OBJ Storage"),
    current(uids::ENCAPSULATED_MTL_STORAGE, "Encapsulated MTL Storage"),
    current(uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE, "Positron Emission Tomography Image Storage"),
    current(uids::LEGACY_CONVERTED_ENHANCED_PET_IMAGE_STORAGE, "Legacy Converted Enhanced PET Image Storage"),
    current(uids::ENHANCED_PET_IMAGE_STORAGE, "Enhanced PET Image Storage"),
    current(uids::BASIC_STRUCTURED_DISPLAY_STORAGE, "Basic Structured Display Storage"),
    current(uids::CT_DEFINED_PROCEDURE_PROTOCOL_STORAGE, "CT Defined Procedure Protocol Storage"),
    current(uids::CT_PERFORMED_PROCEDURE_PROTOCOL_STORAGE, "CT Performed Procedure Protocol Storage"),
    current(uids::PROTOCOL_APPROVAL_STORAGE, "Protocol Approval Storage"),
    current(uids::XA_DEFINED_PROCEDURE_PROTOCOL_STORAGE, "XA Defined Procedure Protocol Storage"),
    current(uids::XA_PERFORMED_PROCEDURE_PROTOCOL_STORAGE, "XA Performed Procedure Protocol Storage"),
    current(uids::INVENTORY_STORAGE, "Inventory Storage"),
    current(uids::RT_IMAGE_STORAGE, "RT Image Storage"),
    current(uids::RT_DOSE_STORAGE, "RT Dose Storage"),
    current(uids::RT_STRUCTURE_SET_STORAGE, "RT Structure Set Storage"),
    current(uids::RT_BEAMS_TREATMENT_RECORD_STORAGE, "RT Beams Treatment Record Storage"),
    current(uids::RT_PLAN_STORAGE, "RT Plan Storage"),
    current(uids::RT_BRACHY_TREATMENT_RECORD_STORAGE, "RT Brachy Treatment Record Storage"),
    current(uids::RT_TREATMENT_SUMMARY_RECORD_STORAGE, "RT Treatment Summary Record Storage"),
    current(uids::RT_ION_PLAN_STORAGE, "RT Ion Plan Storage"),
    current(uids::RT_ION_BEAMS_TREATMENT_RECORD_STORAGE, "RT Ion Beams Treatment Record Storage"),
    current(uids::RT_PHYSICIAN_INTENT_STORAGE, "RT Physician Intent Storage"),
    current(uids::RT_SEGMENT_ANNOTATION_STORAGE, "RT Segment Annotation Storage"),
    current(uids::RT_RADIATION_SET_STORAGE, "RT Radiation Set Storage"),
    current(uids::C_ARM_PHOTON_ELECTRON_RADIATION_STORAGE, "C-Arm Photon-Electron Radiation Storage"),
    current(uids::TOMOTHERAPEUTIC_RADIATION_STORAGE, "Tomotherapeutic Radiation Storage"),
    current(uids::ROBOTIC_ARM_RADIATION_STORAGE, "Robotic-Arm Radiation Storage"),
    current(uids::RT_RADIATION_RECORD_SET_STORAGE, "RT Radiation Record Set Storage"),
    current(uids::RT_RADIATION_SALVAGE_RECORD_STORAGE, "RT Radiation Salvage Record Storage"),
    current(uids::TOMOTHERAPEUTIC_RADIATION_RECORD_STORAGE, "Tomotherapeutic Radiation Record Storage"),
    current(uids::C_ARM_PHOTON_ELECTRON_RADIATION_RECORD_STORAGE, "C-Arm Photon-Electron Radiation Record Storage"),
    current(uids::ROBOTIC_RADIATION_RECORD_STORAGE, "Robotic Radiation Record Storage"),
    current(uids::RT_RADIATION_SET_DELIVERY_INSTRUCTION_STORAGE, "RT Radiation Set Delivery Instruction Storage"),
    current(uids::RT_TREATMENT_PREPARATION_STORAGE, "RT Treatment Preparation Storage"),
    current(uids::ENHANCED_RT_IMAGE_STORAGE, "Enhanced RT Image Storage"),
    current(uids::ENHANCED_CONTINUOUS_RT_IMAGE_STORAGE, "Enhanced Continuous RT Image Storage"),
    current(
        uids::RT_PATIENT_POSITION_ACQUISITION_INSTRUCTION_STORAGE,
        "RT Patient Position Acquisition Instruction Storage",
    ),
    current(uids::DICOSCT_IMAGE_STORAGE, "DICOS CT Image Storage"),
    current(
        uids::DICOS_DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
        "DICOS Digital X-Ray Image Storage - For Presentation",
    ),
    current(
        uids::DICOS_DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PROCESSING,
        "DICOS Digital X-Ray Image Storage - For Processing",
    ),
    current(uids::DICOS_THREAT_DETECTION_REPORT_STORAGE, "DICOS Threat Detection Report Storage"),
    current(uids::DICOS2DAIT_STORAGE, "DICOS 2D AIT Storage"),
    current(uids::DICOS3DAIT_STORAGE, "DICOS 3D AIT Storage"),
    current(uids::DICOS_QUADRUPOLE_RESONANCE_STORAGE, "DICOS Quadrupole Resonance (QR) Storage"),
    current(uids::EDDY_CURRENT_IMAGE_STORAGE, "Eddy Current Image Storage"),
    current(uids::EDDY_CURRENT_MULTI_FRAME_IMAGE_STORAGE, "Eddy Current Multi-frame Image Storage"),
    current(uids::THERMOGRAPHY_IMAGE_STORAGE, "Thermography Image Storage"),
    current(uids::THERMOGRAPHY_MULTI_FRAME_IMAGE_STORAGE, "Thermography Multi-frame Image Storage"),
    current(uids::ULTRASOUND_WAVEFORM_STORAGE, "Ultrasound Waveform Storage"),
    current(uids::RT_BEAMS_DELIVERY_INSTRUCTION_STORAGE, "RT Beams Delivery Instruction Storage"),
    current(
        uids::RT_BRACHY_APPLICATION_SETUP_DELIVERY_INSTRUCTION_STORAGE,
        "RT Brachy Application Setup Delivery Instruction Storage",
    ),
    current(uids::HANGING_PROTOCOL_STORAGE, "Hanging Protocol Storage"),
    current(uids::COLOR_PALETTE_STORAGE, "Color Palette Storage"),
    current(uids::GENERIC_IMPLANT_TEMPLATE_STORAGE, "Generic Implant Template Storage"),
    current(uids::IMPLANT_ASSEMBLY_TEMPLATE_STORAGE, "Implant Assembly Template Storage"),
    current(uids::IMPLANT_TEMPLATE_GROUP_STORAGE, "Implant Template Group Storage"),
    retired("1.2.840.10008.5.1.1.27", "Stored Print Storage"),
    retired("1.2.840.10008.5.1.1.29", "Hardcopy Grayscale Image Storage"),
    retired("1.2.840.10008.5.1.1.30", "Hardcopy Color Image Storage"),
    retired("1.2.840.10008.5.1.4.1.1.3", "Ultrasound Multi-frame Image Storage"),
    retired("1.2.840.10008.5.1.4.1.1.5", "Nuclear Medicine Image Storage"),
    retired("1.2.840.10008.5.1.4.1.1.6", "Ultrasound Image Storage"),
    retired("1.2.840.10008.5.1.4.1.1.8", "Standalone Overlay Storage"),
    retired("1.2.840.10008.5.1.4.1.1.9", "Standalone Curve Storage"),
    retired("1.2.840.10008.5.1.4.1.1.9.1", "Waveform Storage - Trial"),
    retired("1.2.840.10008.5.1.4.1.1.10", "Standalone Modality LUT Storage"),
    retired("1.2.840.10008.5.1.4.1.1.11", "Standalone VOI LUT Storage"),
    retired("1.2.840.10008.5.1.4.1.1.12.3", "X-Ray Angiographic Bi-Plane Image Storage"),
    retired("1.2.840.10008.5.1.4.1.1.77.1", "VL Image Storage - Trial"),
    retired("1.2.840.10008.5.1.4.1.1.77.2", "VL Multi-frame Image Storage - Trial"),
    retired("1.2.840.10008.5.1.4.1.1.88.1", "Text SR Storage - Trial"),
    retired("1.2.840.10008.5.1.4.1.1.88.2", "Audio SR Storage - Trial"),
    retired("1.2.840.10008.5.1.4.1.1.88.3", "Detail SR Storage - Trial"),
    retired("1.2.840.10008.5.1.4.1.1.88.4", "Comprehensive SR Storage - Trial"),
    retired("1.2.840.10008.5.1.4.1.1.129", "Standalone PET Curve Storage"),
    retired("1.2.840.10008.5.1.4.34.1", "RT Beams Delivery Instruction Storage - Trial"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_stands_once_and_retired_ones_at_the_end() {
        for (at, class) in STORAGE_CLASSES.iter().enumerate() {
            let before = STORAGE_CLASSES.iter().take(at);
            assert!(!before.clone().any(|other| other.uid == class.uid), "{}", class.uid);
            assert!(class.is_retired || !before.clone().any(|other| other.is_retired), "{}", class.uid);
        }
    }

    #[test]
    fn services_and_media_are_no_storage() {
        for uid in [
            uids::STORAGE_COMMITMENT_PUSH_MODEL,
            uids::MEDIA_STORAGE_DIRECTORY_STORAGE,
            uids::PROTOCOL_APPROVAL_INFORMATION_MODEL_FIND,
            "",
        ] {
            assert_eq!(storage_class(uid), None, "{uid}");
        }
    }
}
