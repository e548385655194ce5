//! Destinations and rules in the catalog.

use super::{Coercion, CoercionRule, Condition, Priors};
use crate::{archive::Archive, clock::now, error::ArchiveError};
use pacs_core::{AeTitle, deidentify::Profile};
use serde::{Deserialize, Serialize};
use sqlx::{Row, any::AnyRow};

/// Of names, in characters.
const LONGEST_NAME: usize = 64;
/// More senders to one destination would be no throttle at all.
const MOST_ASSOCIATIONS: u16 = 64;
/// The consumer of arrivals.
pub(super) const CONSUMER: &str = "routing";
/// Kinds of rules.
const FORWARD: &str = "forward";
const COERCE: &str = "coerce";
pub(super) const STEPS: &str = "steps";

/// Somewhere that instances are sent on to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    pub name: String,
    pub receiver: Receiver,
    /// At the same time, by one process.
    #[serde(default = "one")]
    pub associations: u16,
    /// At most so many a second; `None`: as fast as it goes.
    #[serde(default)]
    pub instances_per_second: Option<u32>,
    #[serde(default)]
    pub megabytes_per_second: Option<u32>,
    /// Other names by which the receiver sends to us: what came from these does not go back to it.
    #[serde(default)]
    pub also_known_as: Vec<String>,
    /// Attributes that get other values on the way.
    #[serde(default)]
    pub coercion: Coercion,
    /// What goes there names nobody.
    #[serde(default)]
    pub deidentify: Option<Profile>,
    /// Nothing is sent until it goes on; the queue grows meanwhile.
    #[serde(skip)]
    pub is_paused: bool,
}

/// How a destination takes instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receiver {
    /// By C-STORE; host and port are those of the configured peer.
    Ae(AeTitle),
    /// By STOW-RS.
    Web(WebReceiver),
}

/// A DICOMweb peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebReceiver {
    /// What `/studies` follows.
    pub url: String,
    /// Value of the Authorization header, such as `Bearer …`.
    #[serde(default)]
    pub authorization: Option<String>,
}

/// In place of what is not told.
const HIDDEN: &str = "…";

/// What meets the condition is sent on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    /// Name of a destination.
    pub to: String,
    #[serde(default)]
    pub when: Condition,
    /// Also what came from the destination itself.
    #[serde(default)]
    pub sends_back: bool,
    /// Of what was sent it is asked whether the receiver answers for it.
    #[serde(default)]
    pub commits: bool,
    /// What the patient had before goes along.
    #[serde(default)]
    pub priors: Option<Priors>,
    /// What is de-identified may go although its pixels may name the patient: somebody knows that they do not.
    #[serde(default)]
    pub allow_burned_in: bool,
}

const fn one() -> u16 {
    1
}

impl Destination {
    /// To an application entity, with nothing special about it.
    pub fn ae(ae_title: AeTitle) -> Self {
        Self::new(&ae_title.to_string(), Receiver::Ae(ae_title))
    }

    /// With nothing special about it.
    pub fn new(name: &str, receiver: Receiver) -> Self {
        Self {
            name: name.to_owned(),
            receiver,
            associations: one(),
            instances_per_second: None,
            megabytes_per_second: None,
            also_known_as: Vec::new(),
            coercion: Coercion::default(),
            deidentify: None,
            is_paused: false,
        }
    }

    /// Whether it sends to us by this name.
    pub(super) fn is_sender(&self, from: &str) -> bool {
        matches!(&self.receiver, Receiver::Ae(ae_title) if ae_title.as_str() == from)
            || self.also_known_as.iter().any(|name| name == from)
    }

    /// Without what a person who looks at it need not know.
    pub fn shown(&self) -> Self {
        let mut shown = self.clone();
        if let Receiver::Web(WebReceiver { authorization: Some(secret), .. }) = &mut shown.receiver {
            HIDDEN.clone_into(secret);
        }
        shown
    }

    /// Sent back as it was shown, it is as it was.
    fn revealed(mut self, held: Option<&Self>) -> Self {
        if let Receiver::Web(WebReceiver { authorization: Some(secret), .. }) = &mut self.receiver
            && secret == HIDDEN
            && let Some(Receiver::Web(held)) = held.map(|held| &held.receiver)
        {
            secret.clone_from(held.authorization.as_ref().unwrap_or(&String::new()));
        }
        self
    }

    fn check(&self) -> Result<(), ArchiveError> {
        check_name("destination", &self.name)?;
        if let Receiver::Web(web) = &self.receiver {
            let url = url::Url::parse(&web.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            if url.is_none_or(|url| !url.has_host() || url.query().is_some()) {
                return Err(refused("the URL of a DICOMweb peer is http://… or https://…, without a query".to_owned()));
            }
            if web.authorization.as_ref().is_some_and(|value| !value.bytes().all(|byte| (0x20..0x7F).contains(&byte))) {
                return Err(refused("an Authorization header is printable ASCII".to_owned()));
            }
        }
        if !(1..=MOST_ASSOCIATIONS).contains(&self.associations) {
            return Err(refused(format!("a destination takes 1 to {MOST_ASSOCIATIONS} associations")));
        }
        if self.instances_per_second == Some(0) || self.megabytes_per_second == Some(0) {
            return Err(refused("a destination that takes nothing is to be paused".to_owned()));
        }
        self.coercion.check()
    }
}

pub(super) fn refused(why: String) -> ArchiveError {
    ArchiveError::Conflict(why)
}

pub(super) fn check_name(of: &str, name: &str) -> Result<(), ArchiveError> {
    let is_sound = !name.is_empty()
        && name.trim() == name
        && name.chars().count() <= LONGEST_NAME
        && !name.chars().any(|c| c.is_control() || c == '/');
    if is_sound {
        return Ok(());
    }
    Err(refused(format!("the name of a {of} has 1 to {LONGEST_NAME} characters, no slash, and no spaces around it")))
}

impl Archive {
    /// Adds a destination, or changes the one of this name; its queue, its pseudonyms and whether it rests stay.
    pub async fn put_destination(&self, destination: &Destination) -> Result<(), ArchiveError> {
        let held = self.destinations().await?.into_iter().find(|held| held.name == destination.name);
        let destination = &destination.clone().revealed(held.as_ref());
        destination.check()?;
        let secret: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
        let statement = sqlx::query(PUT_DESTINATION).bind(&destination.name).bind(json(destination)?).bind(secret);
        self.inner.database.execute(statement).await?;
        Ok(())
    }

    /// All destinations, by name.
    pub async fn destinations(&self) -> Result<Vec<Destination>, ArchiveError> {
        sqlx::query(DESTINATIONS).fetch_all(&self.inner.database.pool).await?.iter().map(destination).collect()
    }

    /// Those for which something is due, and that do not rest.
    pub async fn due_destinations(&self) -> Result<Vec<Destination>, ArchiveError> {
        let statement = sqlx::query(DUE).bind(now());
        statement.fetch_all(&self.inner.database.pool).await?.iter().map(destination).collect()
    }

    /// `NotFound` if there is none of this name.
    pub async fn destination(&self, name: &str) -> Result<Destination, ArchiveError> {
        let row = sqlx::query(DESTINATION).bind(name).fetch_optional(&self.inner.database.pool).await?;
        destination(&row.ok_or_else(|| unknown("destination", name))?)
    }

    /// Removes a destination with all that waits for it; refused while a rule sends there.
    pub async fn remove_destination(&self, name: &str) -> Result<(), ArchiveError> {
        if let Some(rule) = self.rules().await?.into_iter().find(|rule| rule.to == name) {
            return Err(refused(format!("rule {} sends to {name}: remove it first", rule.name)));
        }
        let (mut transaction, _turn) = self.inner.database.begin().await?;
        let removed = sqlx::query(REMOVE_DESTINATION).bind(name).execute(&mut *transaction).await?;
        sqlx::query(REMOVE_QUEUE).bind(name).execute(&mut *transaction).await?;
        transaction.commit().await?;
        if removed.rows_affected() == 0 { Err(unknown("destination", name)) } else { Ok(()) }
    }

    /// Lets a destination rest, or go on.
    pub async fn pause_destination(&self, name: &str, is_paused: bool) -> Result<(), ArchiveError> {
        let statement = sqlx::query(PAUSE).bind(name).bind(i64::from(is_paused));
        match self.inner.database.execute(statement).await?.rows_affected() {
            0 => Err(unknown("destination", name)),
            _ => Ok(()),
        }
    }

    /// Adds a rule, which speaks of what arrives from now on, or changes the one of this name.
    pub async fn put_rule(&self, rule: &Rule) -> Result<(), ArchiveError> {
        check_name("rule", &rule.name)?;
        let to = self.destination(&rule.to).await?;
        if rule.commits && !matches!(to.receiver, Receiver::Ae(_)) {
            return Err(refused(format!(
                "{} cannot be asked for storage commitment, it is no application entity",
                to.name
            )));
        }
        self.put(FORWARD, &rule.name, json(rule)?).await
    }

    pub(super) async fn put(&self, kind: &str, name: &str, detail: String) -> Result<(), ArchiveError> {
        let mut change = self.inner.database.change().await?;
        let since = change.head.next_key();
        let has_rules =
            kind == STEPS || sqlx::query(ANY_RULE).fetch_optional(&mut *change.transaction).await?.is_some();
        if !has_rules {
            // Nobody has looked at what arrived so far, and nobody need.
            sqlx::query(START).bind(CONSUMER).bind(since).execute(&mut *change.transaction).await?;
        }
        let statement = sqlx::query(PUT_RULE).bind(name).bind(kind).bind(detail).bind(since);
        statement.execute(&mut *change.transaction).await?;
        change.commit().await?;
        Ok(())
    }

    /// What is queued by it stays queued.
    pub async fn remove_rule(&self, name: &str) -> Result<(), ArchiveError> {
        self.remove(FORWARD, name).await
    }

    pub(super) async fn remove(&self, kind: &str, name: &str) -> Result<(), ArchiveError> {
        let statement = sqlx::query(REMOVE_RULE).bind(name).bind(kind);
        match self.inner.database.execute(statement).await?.rows_affected() {
            0 => Err(unknown("rule", name)),
            _ => Ok(()),
        }
    }

    /// Adds a rule by which arrivals are corrected, or changes the one of this name. It speaks of what arrives from now on.
    pub async fn put_coercion(&self, rule: &CoercionRule) -> Result<(), ArchiveError> {
        check_name("rule", &rule.name)?;
        rule.coercion.check_received()?;
        if rule.coercion.is_empty() {
            return Err(refused("the rule gives no attribute a value".into()));
        }
        self.put(COERCE, &rule.name, json(rule)?).await
    }

    /// What was corrected by it stays corrected.
    pub async fn remove_coercion(&self, name: &str) -> Result<(), ArchiveError> {
        self.remove(COERCE, name).await
    }

    /// All rules by which arrivals are corrected, by name.
    pub async fn coercions(&self) -> Result<Vec<CoercionRule>, ArchiveError> {
        Ok(self.coercions_since().await?.into_iter().map(|(rule, _)| rule).collect())
    }

    pub(super) async fn coercions_since(&self) -> Result<Vec<(CoercionRule, i64)>, ArchiveError> {
        self.since(COERCE).await
    }

    /// All rules that send on, by name.
    pub async fn rules(&self) -> Result<Vec<Rule>, ArchiveError> {
        Ok(self.rules_since().await?.into_iter().map(|(rule, _)| rule).collect())
    }

    /// With the key after which arrivals are spoken of.
    pub(super) async fn rules_since(&self) -> Result<Vec<(Rule, i64)>, ArchiveError> {
        self.since(FORWARD).await
    }

    pub(super) async fn since<T: for<'de> Deserialize<'de>>(&self, kind: &str) -> Result<Vec<(T, i64)>, ArchiveError> {
        let rows = sqlx::query(RULES).bind(kind).fetch_all(&self.inner.database.pool).await?;
        rows.iter().map(|row| Ok((from_json(row.try_get(0)?)?, row.try_get(1)?))).collect()
    }
}

fn unknown(what: &str, name: &str) -> ArchiveError {
    ArchiveError::NotFound(format!("{what} {name}"))
}

pub(super) fn json(value: &impl Serialize) -> Result<String, ArchiveError> {
    serde_json::to_string(value).map_err(|error| ArchiveError::Internal(error.to_string()))
}

fn from_json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, ArchiveError> {
    serde_json::from_str(text).map_err(|error| ArchiveError::Internal(format!("routing in the catalog: {error}")))
}

pub(super) fn destination(row: &AnyRow) -> Result<Destination, ArchiveError> {
    let destination: Destination = from_json(row.try_get(0)?)?;
    Ok(Destination { is_paused: row.try_get::<i64, _>(1)? != 0, ..destination })
}

// The secret of before stays, or a patient would get another pseudonym.
const PUT_DESTINATION: &str = "insert into destination (name, detail, secret, paused) values ($1, $2, $3, 0)
    on conflict (name) do update set detail = excluded.detail";

const DESTINATIONS: &str = "select detail, paused from destination order by name";

const DUE: &str = "select detail, paused from destination where paused = 0 and exists (
        select 1 from forward f where f.destination = destination.name and f.state = 'due' and f.due_at <= $1)";

const DESTINATION: &str = "select detail, paused from destination where name = $1";

const REMOVE_DESTINATION: &str = "delete from destination where name = $1";

const REMOVE_QUEUE: &str = "delete from forward where destination = $1";

const PAUSE: &str = "update destination set paused = $2 where name = $1";

/// Of a catalog that comes from elsewhere: what is tried out with a copy must not send.
pub(crate) const ALL_REST: &str = "update destination set paused = 1";

const ANY_RULE: &str = "select name from routing_rule where kind in ('forward', 'coerce') limit 1";

const START: &str = "insert into consumer (name, position) values ($1, $2)
    on conflict (name) do update set position = excluded.position";

// A rule that is changed still speaks of what arrived since it was made, and nobody has looked at yet.
const PUT_RULE: &str = "insert into routing_rule (name, kind, detail, since) values ($1, $2, $3, $4)
    on conflict (kind, name) do update set detail = excluded.detail";

const REMOVE_RULE: &str = "delete from routing_rule where name = $1 and kind = $2";

const RULES: &str = "select detail, since from routing_rule where kind = $1 order by name";
