//! Who observed what a report says (PS3.16 TID 1001, 1002).

use super::{MANUFACTURER, concept::*, content_item::*, write::long_string};
use crate::attributes::Attributes;
use dicom_dictionary_std::tags;

/// Whose word a report is, by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observer {
    /// The AI that is built in here, and nobody beside it.
    OurAi,
    /// Devices alone, but not only ours.
    Device,
    /// A person has a part in it, or nobody is named: the standard's default observer is a person.
    Person,
}

/// Whose word an SR is. What a colleague has measured is not the AI's, and "no nodules" must not be said in its place.
pub fn observer(sr: Attributes<'_>) -> Observer {
    let devices: Vec<bool> = children(sr, OBSERVER_TYPE).map(|observer| has_value(observer, DEVICE)).collect();
    if devices.is_empty() || devices.contains(&false) {
        return Observer::Person;
    }
    let makers = children(sr, DEVICE_OBSERVER_MANUFACTURER).map(|maker| maker.text(tags::TEXT_VALUE));
    // A maker may be left out: then one of the devices is a stranger.
    let ours = makers.filter(|maker| *maker == Some(MANUFACTURER)).count();
    if ours == devices.len() && algorithm_is_named(sr) { Observer::OurAi } else { Observer::Device }
}

/// Whether the observing device is the algorithm that the equipment is said to be, as in every report of ours.
fn algorithm_is_named(sr: Attributes<'_>) -> bool {
    let device = children(sr, DEVICE_OBSERVER_NAME).find_map(|name| name.text(tags::TEXT_VALUE));
    device.is_some_and(|name| sr.text(tags::MANUFACTURER_MODEL_NAME) == Some(long_string(name).trim_end()))
}
