//! The study list: search, filters, table.

use leptos::prelude::*;
use leptos::web_sys::MouseEvent;

use super::icon::{self, Icon};
use super::{PageButtons, Ui, patient, problem_text};
use crate::date;
use crate::i18n::{Language, Text};
use crate::model::{ListMsg, Model, Msg};
use crate::study_list::{Column, Dates, MODALITIES, Sort, StudyRow};

#[component]
pub fn StudyList(ui: Ui) -> impl IntoView {
    let problem = ui.memo(|model| model.list.problem.as_ref().map(|problem| problem_text(model, problem)));
    let empty = ui.memo(|model| model.list.loaded && model.list.rows.is_empty());
    let more = ui.memo(|model| model.list.more);
    view! {
        <div class="studies">
            <header class="bar">
                <h1><span class="logo" aria-hidden="true"></span>{ui.text(Text::Product)}</h1>
                <SearchBox ui/>
                <Live ui/>
                <span class="space"></span>
                <PageButtons ui/>
            </header>
            <Filters ui/>
            <div class="banner" role="alert" class:shown=move || problem.get().is_some()>
                {move || problem.get().unwrap_or_default()}
            </div>
            <main class="table-frame">
                <Table ui/>
                <Show when=move || empty.get()><Empty ui/></Show>
                <Show when=move || more.get()>
                    <button class="more" on:click=move |_| ui.send(Msg::List(ListMsg::LoadMore))>
                        {ui.text(Text::LoadMore)}
                    </button>
                </Show>
            </main>
        </div>
    }
}

#[component]
fn SearchBox(ui: Ui) -> impl IntoView {
    let text = ui.memo(|model| model.list.filter.text.clone());
    let busy = ui.memo(|model| model.list.loading && model.list.loaded);
    let (label, hint) = (ui.text(Text::Search), ui.text(Text::SearchHint));
    view! {
        <label class="search" class:busy=move || busy.get()>
            <Icon path=icon::SEARCH/>
            <input id="search" type="search" aria-label=label placeholder=hint prop:value=text autocomplete="off"
                on:input:target=move |event| ui.send(Msg::List(ListMsg::Text(event.target().value())))/>
            <kbd aria-hidden="true">"/"</kbd>
        </label>
    }
}

#[component]
fn Live(ui: Ui) -> impl IntoView {
    let live = ui.memo(|model| model.live);
    let (on, off) = (ui.text(Text::Live), ui.text(Text::NotLive));
    view! {
        <span class="live" class:on=move || live.get() == Some(true) class:hidden=move || live.get().is_none()
            role="status">
            {move || if live.get() == Some(true) { on() } else { off() }}
        </span>
    }
}

#[component]
fn Filters(ui: Ui) -> impl IntoView {
    let dates = ui.memo(|model| model.list.filter.dates.clone());
    let filtered = ui.memo(|model| !model.list.filter.is_empty());
    let presets = [
        (Text::AnyDate, Dates::Any),
        (Text::Today, Dates::LastDays(1)),
        (Text::ThreeDays, Dates::LastDays(3)),
        (Text::Week, Dates::LastDays(7)),
        (Text::Month, Dates::LastDays(30)),
    ];
    let preset = move |(text, preset): (Text, Dates)| {
        let chosen = preset.clone();
        let pressed = move || dates.with(|dates| dates == &chosen);
        let choose = move |_| ui.send(Msg::List(ListMsg::Dates(preset.clone())));
        view! { <button class="chip" aria-pressed=move || pressed().to_string() on:click=choose>{ui.text(text)}</button> }
    };
    let modality = move |modality: &'static str| {
        let pressed = Memo::new(move |_| ui.model.with(|model| model.list.filter.modalities.contains(modality)));
        let choose = move |_| ui.send(Msg::List(ListMsg::Modality(modality)));
        view! { <button class="chip" aria-pressed=move || pressed.get().to_string() on:click=choose>{modality}</button> }
    };
    view! {
        <div class="filters">
            <div class="chips" role="group" aria-label=ui.text(Text::StudyDate)>{presets.map(preset).collect_view()}</div>
            <DateRange ui dates/>
            <div class="chips" role="group" aria-label=ui.text(Text::Modality)>
                {MODALITIES.iter().copied().map(modality).collect_view()}
            </div>
            <button class="chip clear" class:hidden=move || !filtered.get()
                on:click=move |_| ui.send(Msg::List(ListMsg::ClearFilter))>{ui.text(Text::ClearFilters)}</button>
        </div>
    }
}

#[component]
fn DateRange(ui: Ui, dates: Memo<Dates>) -> impl IntoView {
    let ends = move || match dates.get() {
        Dates::Range { from, to } => (from, to),
        _ => (String::new(), String::new()),
    };
    // Browsers write dates with dashes, DICOM without.
    let shown = |day: String| if day.is_empty() { day } else { date::display(&day) };
    let choose = move |from: String, to: String| {
        let range = Dates::Range { from: from.replace('-', ""), to: to.replace('-', "") };
        ui.send(Msg::List(ListMsg::Dates(range)));
    };
    view! {
        <div class="range">
            <input type="date" aria-label=ui.text(Text::From) prop:value=move || shown(ends().0)
                on:change:target=move |event| choose(event.target().value(), ends().1)/>
            <span aria-hidden="true">"–"</span>
            <input type="date" aria-label=ui.text(Text::To) prop:value=move || shown(ends().1)
                on:change:target=move |event| choose(ends().0, event.target().value())/>
        </div>
    }
}

const COLUMNS: [(Column, Text, &str); 7] = [
    (Column::Patient, Text::Patient, "patient"),
    (Column::PatientId, Text::PatientId, "id"),
    (Column::Date, Text::StudyDate, "date"),
    (Column::Modality, Text::Modality, "modality"),
    (Column::Description, Text::Description, "description"),
    (Column::Accession, Text::Accession, "accession"),
    (Column::Images, Text::Images, "images"),
];

#[component]
fn Table(ui: Ui) -> impl IntoView {
    let rows = ui.memo(|model| model.list.rows.clone());
    let sort = ui.memo(|model| model.list.sort);
    let loading = ui.memo(|model| !model.list.loaded && model.list.problem.is_none());
    let head = move |(column, text, class): (Column, Text, &'static str)| {
        let state = move || match sort.get() {
            Sort { column: sorted, .. } if sorted != column => "none",
            Sort { descending: true, .. } => "descending",
            Sort { .. } => "ascending",
        };
        view! {
            <th class=class scope="col" aria-sort=state>
                <button on:click=move |_| ui.send(Msg::List(ListMsg::Sort(column)))>{ui.text(text)}</button>
            </th>
        }
    };
    view! {
        <table class="list" aria-busy=move || loading.get().to_string()>
            <thead><tr>{COLUMNS.map(head).collect_view()}</tr></thead>
            <tbody>
                <For each=move || rows.get() key=|row| format!("{row:?}") children=move |row| view! { <Row ui row/> }/>
            </tbody>
        </table>
        <Show when=move || loading.get()><p class="loading">{ui.text(Text::Loading)}</p></Show>
    }
}

#[component]
fn Row(ui: Ui, row: StudyRow) -> impl IntoView {
    let study = StoredValue::new(row.study.clone());
    let is = move |read: fn(&Model, &pacs_core::Uid) -> bool| {
        Memo::new(move |_| ui.model.with(|model| study.with_value(|study| read(model, study))))
    };
    let selected = is(|model, study| model.list.selected.as_ref() == Some(study));
    let fresh = is(|model, study| model.list.fresh.contains(study));
    let language = ui.memo(|model| model.language);
    let open = move |event: MouseEvent| {
        // With a modifier the link itself opens a tab or window.
        if !(event.ctrl_key() || event.meta_key() || event.shift_key()) {
            event.prevent_default();
            ui.send(Msg::OpenStudy(study.get_value()));
        }
    };
    let StudyRow { patient_name, patient_id, birth_date, sex, date, time, description, .. } = row;
    let second = patient::second_name(&patient_name);
    let born = {
        let day = date.clone();
        move || patient::sex_and_birth(language.get(), &sex, &birth_date, &day)
    };
    let day = date::display(&date);
    let modalities = row.modalities.split(' ').filter(|modality| !modality.is_empty()).map(|modality| {
        view! { <span class="tag">{modality.to_owned()}</span> }
    });
    view! {
        <tr tabindex="-1" class:fresh=move || fresh.get() aria-selected=move || selected.get().to_string()
            on:click=open
            on:focus=move |_| ui.send(Msg::List(ListMsg::Select(study.get_value())))>
            <td class="patient">
                <a tabindex="-1" href=format!("/viewer?StudyInstanceUIDs={}", row.study)>
                    {move || patient::name(language.get(), &patient_name)}</a>
                <span class="second">{second}</span>
                <span class="born">{born}</span>
            </td>
            <td class="id">{patient_id}</td>
            <td class="date">{day}" "<span class="time">{date::display_time(&time)}</span></td>
            <td class="modality">{modalities.collect_view()}</td>
            <td class="description">{description}</td>
            <td class="accession">{row.accession_number}</td>
            <td class="images">{row.instances}<span class="series">{row.series}</span></td>
        </tr>
    }
}

/// How to fill an empty archive, or why the search found nothing.
#[component]
fn Empty(ui: Ui) -> impl IntoView {
    let filtered = ui.memo(|model| !model.list.filter.is_empty());
    let command = ui.memo(push_command);
    let title = move |language: Language| language.text(if filtered.get() { Text::NoMatches } else { Text::NoStudies });
    let language = ui.memo(|model| model.language);
    view! {
        <section class="empty">
            <h2>{move || title(language.get())}</h2>
            <Show when=move || filtered.get() fallback=move || view! {
                <p>{ui.text(Text::NoStudiesHint)}</p>
                <code>{move || command.get()}</code>
                <p class="hint">{ui.text(Text::AppearByThemselves)}</p>
            }>
                <button class="main" on:click=move |_| ui.send(Msg::List(ListMsg::ClearFilter))>
                    {ui.text(Text::ClearFilters)}
                </button>
            </Show>
        </section>
    }
}

fn push_command(model: &Model) -> String {
    let server = model.server.clone().unwrap_or_default();
    let ae_title = if server.ae_title.is_empty() { "YINGHAI" } else { &server.ae_title };
    let port = server.dicom_port.unwrap_or(11112);
    format!("dcmsend --no-halt -aec {ae_title} +sd +r {} {port} FOLDER", model.host)
}
