//! AI findings as a list; each jumps to its slice.

use leptos::prelude::*;
use pacs_core::Uid;

use super::Ui;
use super::icon::{self, Icon};
use crate::i18n::{Language, Text};
use crate::model::{Model, Msg, ReadingMsg};

/// A finding as the list shows it.
#[derive(Debug, Clone, PartialEq)]
struct Item {
    report: Uid,
    number: u32,
    slice: Option<usize>,
    long_axis_mm: f64,
    short_axis_mm: f64,
    volume_mm3: f64,
    /// The outline could not be traced; sizes are those of a sphere.
    estimated: bool,
    confidence: f64,
}

fn items(model: &Model) -> Vec<Item> {
    let Some(viewer) = &model.viewer else { return Vec::new() };
    let item = |(stored, finding): (&crate::model::StoredReport, &pacs_core::finding::Finding)| Item {
        report: stored.sop_instance.clone(),
        number: finding.number,
        slice: viewer.image_number(&stored.report, finding),
        long_axis_mm: finding.long_axis_mm,
        short_axis_mm: finding.short_axis_mm,
        volume_mm3: finding.volume_mm3,
        estimated: finding.estimated,
        confidence: finding.confidence,
    };
    viewer.findings().map(item).collect()
}

/// Whether there is no AI result and none to wait for: the AI reads CT.
fn is_absent(model: &Model) -> bool {
    let Some(viewer) = &model.viewer else { return true };
    viewer.reports.is_empty() && !viewer.series.iter().any(|series| series.row.modality == "CT")
}

/// Name and version of the algorithms whose reports are shown.
fn algorithms(model: &Model) -> String {
    let reports = model.viewer.iter().flat_map(|viewer| &viewer.reports);
    let names = reports.map(|stored| format!("{} {}", stored.report.algorithm_name, stored.report.algorithm_version));
    let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    names.sort();
    names.dedup();
    names.join(", ")
}

#[component]
pub fn Findings(ui: Ui) -> impl IntoView {
    let items = ui.memo(items);
    let algorithms = ui.memo(algorithms);
    let reported = ui.memo(|model| model.viewer.as_ref().is_some_and(|viewer| !viewer.reports.is_empty()));
    let absent = ui.memo(is_absent);
    let shown = ui.memo(|model| model.viewer.as_ref().is_some_and(|viewer| viewer.show_findings));
    let (none_yet, nothing) = (ui.text(Text::NoFindings), ui.text(Text::NothingFound));
    let count = move || items.with(|items| if items.is_empty() { String::new() } else { items.len().to_string() });
    let label = ui.text(Text::ShowFindings);
    view! {
        <aside class="findings" class:idle=move || !reported.get() class:absent=move || absent.get()
            aria-label=ui.text(Text::Findings)>
            <h2>{ui.text(Text::Findings)}<span class="count">{count}</span>
                <button class="tool" aria-label=label title=label aria-pressed=move || shown.get().to_string()
                    on:click=move |_| ui.send(Msg::Reading(ReadingMsg::ShowFindings))><Icon path=icon::MARK/></button>
            </h2>
            <p class="warning">{ui.text(Text::NotForClinicalUse)}</p>
            <ol>
                <For each=move || items.get() key=|item| format!("{item:?}")
                    children=move |item| view! { <Entry ui item/> }/>
            </ol>
            <p class="none" class:hidden=move || !items.with(Vec::is_empty)>
                {move || if reported.get() { nothing() } else { none_yet() }}
            </p>
            <p class="algorithm">{algorithms}</p>
        </aside>
    }
}

#[component]
fn Entry(ui: Ui, item: Item) -> impl IntoView {
    let language = ui.memo(|model| model.language);
    let key = (item.report.clone(), item.number);
    let selected = Memo::new(move |_| {
        let is = |model: &Model| model.viewer.as_ref().is_some_and(|v| v.selected_finding.as_ref() == Some(&key));
        ui.model.with(is)
    });
    let Item { report, number, .. } = item.clone();
    let go = move |_| ui.send(Msg::Reading(ReadingMsg::GoToFinding { report: report.clone(), number }));
    let label = move || format!("{} {number}", language.get().text(Text::GoToFinding));
    let facts = move || facts(language.get(), &item);
    view! {
        <li>
            <button class="finding" aria-label=label aria-pressed=move || selected.get().to_string() on:click=go>
                <span class="number">{number}</span>
                {move || facts().into_iter().map(|(name, value)| view! {
                    <span class="fact"><span class="of">{name}</span>{value}</span>
                }).collect_view()}
            </button>
        </li>
    }
}

/// What the list says of a finding, with units.
fn facts(language: Language, item: &Item) -> Vec<(&'static str, String)> {
    let slice = item.slice.map_or_else(|| "–".to_owned(), |slice| slice.to_string());
    let fact = |text, value| (language.text(text), value);
    // Zero is what a report that does not say is read as.
    let size = |value: f64, digits: usize, unit: &str| match (value > 0.0, item.estimated) {
        (false, _) => "–".to_owned(),
        (true, false) => format!("{value:.digits$} {unit}"),
        (true, true) => format!("≈ {value:.digits$} {unit}"),
    };
    let confidence = if item.confidence > 0.0 { format!("{:.0} %", item.confidence * 100.0) } else { "–".to_owned() };
    let mut facts = vec![
        fact(Text::Slice, slice),
        fact(Text::Confidence, confidence),
        fact(Text::LongAxis, size(item.long_axis_mm, 1, "mm")),
        fact(Text::ShortAxis, size(item.short_axis_mm, 1, "mm")),
        fact(Text::Volume, size(item.volume_mm3, 0, "mm³")),
    ];
    if item.estimated {
        facts.push(("", language.text(Text::Estimated).to_owned()));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_estimated_or_not_said_is_marked() {
        let item = Item {
            report: "1.2".parse().expect("a UID"),
            number: 1,
            slice: Some(7),
            long_axis_mm: 6.04,
            short_axis_mm: 0.0,
            volume_mm3: 80.4,
            estimated: true,
            confidence: 0.914,
        };
        let values: Vec<String> = facts(Language::English, &item).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["7", "91 %", "≈ 6.0 mm", "–", "≈ 80 mm³", "size estimated"]);
    }
}
