//! Application entities: a table, a form, and a C-ECHO by a click.

use leptos::html::{Input, Select};
use leptos::prelude::*;

use super::icon::{self, Icon};
use super::{PageButtons, Ui, problem_text};
use crate::devices::{Device, Devices as Page, Draft, Echo, Workflow};
use crate::i18n::Text;
use crate::model::{DevicesMsg, Model, Msg};

fn of<T: Default>(model: &Model, read: impl FnOnce(&Page) -> T) -> T {
    model.devices.as_ref().map(read).unwrap_or_default()
}

#[component]
pub fn Devices(ui: Ui) -> impl IntoView {
    let problem = ui.memo(|model| {
        let problem = model.devices.as_ref().and_then(|devices| devices.problem.as_ref());
        problem.map(|problem| problem_text(model, problem))
    });
    let back = ui.text(Text::Back);
    view! {
        <div class="studies devices">
            <header class="bar">
                <button class="tool" aria-label=back title=back on:click=move |_| ui.send(Msg::CloseDevices)>
                    <Icon path=icon::BACK/></button>
                <h1>{ui.text(Text::Devices)}</h1>
                <span class="space"></span>
                <button class="tool" data-test="add-device" on:click=move |_| ui.send(Msg::Devices(DevicesMsg::Add))>
                    "+ "{ui.text(Text::AddDevice)}</button>
                <PageButtons ui/>
            </header>
            <div class="banner" role="alert" class:shown=move || problem.get().is_some()>
                {move || problem.get().unwrap_or_default()}
            </div>
            <main class="table-frame"><Table ui/></main>
            <Form ui/>
        </div>
    }
}

const COLUMNS: [Text; 6] =
    [Text::AeTitle, Text::Address, Text::Rights, Text::Sees, Text::Associations, Text::Connection];

#[component]
fn Table(ui: Ui) -> impl IntoView {
    let rows = ui.memo(|model| of(model, |devices| devices.rows.clone()));
    let empty = ui.memo(|model| of(model, |devices| devices.loaded && devices.rows.is_empty()));
    let head = move |text| view! { <th scope="col">{ui.text(text)}</th> };
    view! {
        <table class="list">
            <thead><tr>{COLUMNS.map(head).collect_view()}<th scope="col"></th></tr></thead>
            <tbody>
                <For each=move || rows.get() key=|row| format!("{row:?}")
                    children=move |device| view! { <Row ui device/> }/>
            </tbody>
        </table>
        <Show when=move || empty.get()>
            <section class="empty">
                <h2>{ui.text(Text::NoDevices)}</h2>
                <p>{ui.text(Text::NoDevicesHint)}</p>
                <button class="main" on:click=move |_| ui.send(Msg::Devices(DevicesMsg::Add))>
                    {ui.text(Text::AddDevice)}</button>
            </section>
        </Show>
    }
}

#[component]
fn Row(ui: Ui, device: Device) -> impl IntoView {
    let title = StoredValue::new(device.ae_title.clone());
    let rights = [
        (device.may_store, Text::Store),
        (device.may_find, Text::Find),
        (device.may_retrieve, Text::Retrieve),
        (device.workflow.worklist.is_some(), Text::Worklist),
        (device.workflow.may_perform, Text::ReportSteps),
        (device.workflow.may_workitems, Text::Workitems),
    ];
    let rights = rights.into_iter().filter(|(has, _)| *has).map(move |(_, text)| {
        view! { <span class="tag">{ui.text(text)}</span> }
    });
    let most = device.max_associations.map(|most| most.to_string()).unwrap_or_default();
    let tls = device.tls.then_some("TLS");
    let change = move |_| ui.send(Msg::Devices(DevicesMsg::Change(title.get_value())));
    view! {
        <tr>
            <td class="ae">{device.ae_title.clone()}</td>
            <td class="address">{device.address()}" "<span class="dim">{tls}</span></td>
            <td>{rights.collect_view()}</td>
            <td class="dim">{device.view.clone()}</td>
            <td class="dim">{most}</td>
            <td><Call ui title can=device.can_be_called()/></td>
            <td class="acts">
                <button class="tool" on:click=change>{ui.text(Text::Change)}</button>
                <Remove ui title/>
            </td>
        </tr>
    }
}

/// A C-ECHO and how it went.
#[component]
fn Call(ui: Ui, title: StoredValue<String>, can: bool) -> impl IntoView {
    let echo = Memo::new(move |_| {
        ui.model.with(|model| of(model, |devices| title.with_value(|title| devices.echoes.get(title).cloned())))
    });
    let language = ui.memo(|model| model.language);
    let shown = move || match echo.get() {
        None => String::new(),
        Some(Echo::Underway) => language.get().text(Text::Calling).to_owned(),
        Some(Echo::Answered { milliseconds }) => {
            format!("✓ {} {milliseconds} ms", language.get().text(Text::Answered))
        }
        Some(Echo::Failed(reason)) => format!("✗ {} {reason}", language.get().text(Text::NoAnswer)),
    };
    let failed = move || matches!(echo.get(), Some(Echo::Failed(_)));
    view! {
        <button class="chip" data-test="echo" disabled=move || !can || echo.get() == Some(Echo::Underway)
            title=ui.text(Text::EchoHint)
            on:click=move |_| ui.send(Msg::Devices(DevicesMsg::Call(title.get_value())))>"C-ECHO"</button>
        <span class="outcome" class:bad=failed role="status">{shown}</span>
    }
}

/// Asks once more before an application entity is shut out.
#[component]
fn Remove(ui: Ui, title: StoredValue<String>) -> impl IntoView {
    let asked = RwSignal::new(false);
    let (remove, really) = (ui.text(Text::Remove), ui.text(Text::RemoveReally));
    let press = move |_| {
        if asked.get_untracked() {
            ui.send(Msg::Devices(DevicesMsg::Remove(title.get_value())));
        }
        asked.set(true);
    };
    view! {
        <button class="tool quiet" class:bad=move || asked.get() on:click=press on:blur=move |_| asked.set(false)>
            {move || if asked.get() { really() } else { remove() }}
        </button>
    }
}

#[component]
fn Form(ui: Ui) -> impl IntoView {
    let draft = ui.memo(|model| of(model, |devices| devices.draft.as_ref().map(|draft| draft.device.ae_title.clone())));
    view! {
        {move || draft.get().and_then(|_| ui.model.with_untracked(|model| of(model, |devices| devices.draft.clone())))
            .map(|draft| view! { <Fields ui draft/> })}
    }
}

/// The inputs of the form.
#[derive(Clone, Copy)]
struct Inputs {
    ae_title: NodeRef<Input>,
    host: NodeRef<Input>,
    port: NodeRef<Input>,
    store: NodeRef<Input>,
    find: NodeRef<Input>,
    retrieve: NodeRef<Input>,
    worklist: NodeRef<Select>,
    perform: NodeRef<Input>,
    workitems: NodeRef<Input>,
    availability: NodeRef<Input>,
    tls: NodeRef<Input>,
    certificate: NodeRef<Input>,
    view: NodeRef<Input>,
    most: NodeRef<Input>,
}

impl Inputs {
    fn new() -> Self {
        let input = NodeRef::new;
        Self {
            ae_title: input(),
            host: input(),
            port: input(),
            store: input(),
            find: input(),
            retrieve: input(),
            worklist: NodeRef::new(),
            perform: input(),
            workitems: input(),
            availability: input(),
            tls: input(),
            certificate: input(),
            view: input(),
            most: input(),
        }
    }

    fn read(self, before: Device) -> Device {
        let text = |input: NodeRef<Input>| {
            input.get_untracked().map(|input| input.value().trim().to_owned()).unwrap_or_default()
        };
        let optional = |input| Some(text(input)).filter(|text| !text.is_empty());
        let checked = |input: NodeRef<Input>| input.get_untracked().is_some_and(|input| input.checked());
        Device {
            ae_title: text(self.ae_title),
            host: optional(self.host),
            port: text(self.port).parse().ok(),
            may_store: checked(self.store),
            may_find: checked(self.find),
            may_retrieve: checked(self.retrieve),
            workflow: Workflow {
                worklist: self.worklist.get_untracked().map(|select| select.value()).filter(|scope| !scope.is_empty()),
                may_perform: checked(self.perform),
                may_workitems: checked(self.workitems),
                wants_availability: checked(self.availability),
            },
            tls: checked(self.tls),
            certificate: optional(self.certificate),
            view: text(self.view),
            max_associations: text(self.most).parse().ok(),
            ..before
        }
    }
}

#[component]
fn Fields(ui: Ui, draft: Draft) -> impl IntoView {
    let inputs = Inputs::new();
    let Draft { device, is_new, .. } = draft;
    let before = StoredValue::new(device.clone());
    let saving = ui.memo(|model| of(model, |devices| devices.draft.as_ref().is_some_and(|draft| draft.saving)));
    let problem = ui.memo(|model| {
        let draft = model.devices.as_ref().and_then(|devices| devices.draft.as_ref());
        draft.and_then(|draft| draft.problem.as_ref()).map(|problem| problem_text(model, problem))
    });
    let save = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        ui.send(Msg::Devices(DevicesMsg::Save(inputs.read(before.get_value()))));
    };
    let text = move |label, value: Option<String>, input: NodeRef<Input>, hint: &'static str| {
        view! { <label>{ui.text(label)}<input autocomplete="off" spellcheck="false" placeholder=hint node_ref=input
        prop:value=value.unwrap_or_default()/></label> }
    };
    let number = move |label, value: Option<u16>, input: NodeRef<Input>, hint: &'static str| {
        view! { <label>{ui.text(label)}<input type="number" min="1" max="65535" placeholder=hint node_ref=input
        prop:value=value.map(|value| value.to_string()).unwrap_or_default()/></label> }
    };
    let tick = move |label, on: bool, input: NodeRef<Input>| {
        view! { <label class="tick"><input type="checkbox" prop:checked=on node_ref=input/>{ui.text(label)}</label> }
    };
    let chosen = device.workflow.worklist.clone().unwrap_or_default();
    let scopes = [("", Text::WorklistNone), ("own", Text::WorklistOwn), ("all", Text::WorklistAll)];
    let scope = move |value: &'static str, text| {
        view! { <option value=value selected=chosen == value>{ui.text(text)}</option> }
    };
    view! {
        <form class="device" on:submit=save data-test="device-form">
            <label>{ui.text(Text::AeTitle)}<input name="ae_title" required maxlength="16" autocomplete="off"
                spellcheck="false" readonly=!is_new node_ref=inputs.ae_title prop:value=device.ae_title/></label>
            {text(Text::Host, device.host, inputs.host, "10.0.0.7")}
            {number(Text::Port, device.port, inputs.port, "104")}
            <fieldset>
                <legend>{ui.text(Text::Rights)}</legend>
                {tick(Text::Store, device.may_store, inputs.store)}
                {tick(Text::Find, device.may_find, inputs.find)}
                {tick(Text::Retrieve, device.may_retrieve, inputs.retrieve)}
                {tick(Text::ReportSteps, device.workflow.may_perform, inputs.perform)}
                {tick(Text::Workitems, device.workflow.may_workitems, inputs.workitems)}
                {tick(Text::HearsOfSeries, device.workflow.wants_availability, inputs.availability)}
                {tick(Text::ByTls, device.tls, inputs.tls)}
            </fieldset>
            <label>{ui.text(Text::Worklist)}<select aria-label=ui.text(Text::Worklist) node_ref=inputs.worklist
                prop:value=device.workflow.worklist.clone().unwrap_or_default()>
                {scopes.map(|(value, text)| scope(value, text)).collect_view()}
            </select></label>
            {text(Text::Sees, Some(device.view), inputs.view, "ModalitiesInStudy=CT&InstitutionName=East*")}
            {number(Text::Associations, device.max_associations, inputs.most, "")}
            {text(Text::Certificate, device.certificate, inputs.certificate, "SHA-256")}
            <p class="notice" role="alert">{move || problem.get().unwrap_or_default()}</p>
            <div class="acts">
                <button class="tool" type="button" on:click=move |_| ui.send(Msg::Devices(DevicesMsg::Cancel))>
                    {ui.text(Text::Cancel)}</button>
                <button class="main" type="submit" disabled=move || saving.get()>{ui.text(Text::Save)}</button>
            </div>
        </form>
    }
}
