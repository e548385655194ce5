//! DICOM nouns and pure functions, shared by every other room and by the browser.
//!
//! Nothing here opens a file or socket, is async, or reads a clock or randomness: those come in as arguments.
//! The crate builds natively and for `wasm32-unknown-unknown`.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`uid`], [`ae_title`] | names that are safe once made | PS3.5 §9.1, §6.2 |
//! | [`sop_class`], [`transfer_syntax`] | what is stored and how it is encoded | PS3.6 Annex A |
//! | [`data_set`] | the bounded, iterative scan in front of every other reader | PS3.5 §7 |
//! | [`part10`] | preamble and File Meta Information | PS3.10 §7.1 |
//! | [`character_set`] | text as the sender meant it, and as the receiver can read it | PS3.5 §6.1 |
//! | [`person_name`] | component groups, and what a name is found by: folded, in pinyin, by initials | PS3.5 §6.2.1 |
//! | [`json`], [`attributes`], [`from_json`] | the DICOM JSON model, written, read, and made a data set | PS3.18 Annex F |
//! | [`item`] | a data set of that model that may be changed | PS3.18 Annex F |
//! | [`worklist`] | orders as scheduled procedure steps | PS3.4 Annex K |
//! | [`mpps`] | what is performed, and what that means for the order | PS3.4 Annex F |
//! | [`ups`] | the states of a workitem, and who may change what | PS3.4 Annex CC |
//! | [`correction`] | corrections laid over what was received | PS3.3 C.12.1 |
//! | `deidentify` | data sets that name nobody, with consistent pseudonyms | PS3.15 Annex E |
//! | [`instance`], [`frame_layout`] | what the archive indexes of an instance, and where its frames lie | PS3.3 C.7, PS3.5 A.4 |
//! | [`query`] | matching shared by C-FIND and QIDO-RS | PS3.4 C.2.2.2 |
//! | [`pixel`] | decode → modality LUT → VOI LUT → presentation | PS3.3 C.7.6.3, C.11 |
//! | `native` | a data set with native pixel data, for those who cannot read it as it is stored | PS3.5 §8.2 |
//! | `recompress` | a file with its frames encoded anew, without loss | PS3.5 §A.4 |
//! | `transcode` | a data set with its frames in the compression that a reader asks for | PS3.5 §8.2 |
//! | [`dicomdir`] | the directory of a set of files | PS3.3 Annex F |
//! | [`geometry`] | index ↔ patient millimetres | PS3.3 C.7.6.2 |
//! | [`finding`] | findings ↔ Structured Report | PS3.16 TID 1500 |
//! | [`fingerprint`] | which certificate | |
//! | [`admission`] | how many connections a host may hold | |
//! | [`statement`] | the text of a conformance statement | PS3.2 |
//! | [`status`] | the one table from failure to DIMSE and HTTP status | PS3.7 Annex C |

pub mod admission;
pub mod ae_title;
pub mod attributes;
pub mod character_set;
pub mod correction;
pub mod data_set;
#[cfg(feature = "deidentify")]
pub mod deidentify;
pub mod dicomdir;
pub mod finding;
pub mod fingerprint;
pub mod frame_layout;
pub mod from_json;
pub mod geometry;
pub mod instance;
pub mod item;
pub mod json;
pub mod mpps;
#[cfg(all(feature = "encode", not(target_family = "wasm")))]
pub mod native;
pub mod part10;
pub mod person_name;
pub mod pixel;
pub mod query;
#[cfg(all(feature = "encode", not(target_family = "wasm")))]
pub mod recompress;
pub mod sop_class;
pub mod statement;
pub mod status;
#[cfg(all(feature = "encode", not(target_family = "wasm")))]
pub mod transcode;
pub mod transfer_syntax;
pub mod uid;
pub mod ups;
pub mod worklist;

pub use ae_title::AeTitle;
pub use attributes::Attributes;
pub use data_set::DataSet;
pub use dicom_core::{Tag, VR};
pub use dicom_dictionary_std::tags;
pub use fingerprint::Fingerprint;
pub use item::Item;
pub use status::Failure;
pub use transfer_syntax::TransferSyntax;
pub use uid::Uid;
