//! One configuration, made of the rooms' sections. Later sources win: default, file, environment, flag.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Read when it exists and no other file is named.
pub const DEFAULT_FILE: &str = "pacs.toml";

/// A part of the program that can run on a host of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Room {
    Dicom,
    Web,
    Ai,
    Integration,
}

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which rooms this process runs. Several processes on one database and store share the work.
    pub roles: BTreeSet<Room>,
    /// Where the DICOM node listens.
    pub dicom_listen: SocketAddr,
    /// Where the DICOM node listens for associations over TLS; the standard's port is 2762. Needs `dicom.tls.certificate`
    /// and `dicom.tls.key`. Not set: nowhere.
    pub dicom_tls_listen: Option<SocketAddr>,
    /// Where DICOMweb, the viewer and its API listen.
    pub http_listen: SocketAddr,
    /// Lets every HTTP request in as an administrator. Refused unless every listener is on loopback.
    pub insecure_no_auth: bool,
    /// What is logged: a level or `tracing` filter directives.
    pub log: String,
    /// One JSON object a log line instead of text.
    pub log_json: bool,
    pub storage: storage::StorageConfig,
    pub dicom: dicom_node::NodeConfig,
    pub http: crate::http::HttpConfig,
    pub web: dicomweb::WebConfig,
    pub ai: ai_inference::AiConfig,
    pub integration: integration::IntegrationConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            roles: [Room::Dicom, Room::Web, Room::Ai, Room::Integration].into(),
            dicom_listen: SocketAddr::from(([127, 0, 0, 1], 11112)),
            dicom_tls_listen: None,
            http_listen: SocketAddr::from(([127, 0, 0, 1], 8042)),
            insecure_no_auth: false,
            log: "info".to_owned(),
            log_json: false,
            storage: Default::default(),
            dicom: Default::default(),
            http: Default::default(),
            web: Default::default(),
            ai: Default::default(),
            integration: Default::default(),
        }
    }
}

/// The short flags and variables, and the keys they set.
const SHORT: &[(&str, &str)] = &[
    ("data-dir", "storage.data_dir"),
    ("database-url", "storage.database_url"),
    ("store-url", "storage.store_url"),
    ("dicom-listen", "dicom_listen"),
    ("dicom-tls-listen", "dicom_tls_listen"),
    ("ae-title", "dicom.ae_title"),
    ("http-listen", "http_listen"),
    ("roles", "roles"),
    ("insecure-no-auth", "insecure_no_auth"),
];

/// Flags that every subcommand takes.
#[derive(Debug, Default, Clone, clap::Args)]
pub struct Settings {
    /// Configuration file [default: pacs.toml if it exists; env: PACS_CONFIG]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
    /// Folder for database, objects and spool [default: yinghai-data; env: PACS_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Configuration")]
    pub data_dir: Option<String>,
    /// postgres://… [default: SQLite in the data folder; env: PACS_DATABASE_URL]
    #[arg(long, global = true, value_name = "URL", help_heading = "Configuration")]
    pub database_url: Option<String>,
    /// s3://…, gs://…, az://… [default: a folder in the data folder; env: PACS_STORE_URL]
    #[arg(long, global = true, value_name = "URL", help_heading = "Configuration")]
    pub store_url: Option<String>,
    /// Address of the DICOM node [default: 127.0.0.1:11112; env: PACS_DICOM_LISTEN]
    #[arg(long, global = true, value_name = "ADDR", help_heading = "Configuration")]
    pub dicom_listen: Option<String>,
    /// Address of the DICOM node for TLS [default: none; env: PACS_DICOM_TLS_LISTEN]
    #[arg(long, global = true, value_name = "ADDR", help_heading = "Configuration")]
    pub dicom_tls_listen: Option<String>,
    /// Our AE title [default: YINGHAI; env: PACS_AE_TITLE]
    #[arg(long, global = true, value_name = "AE", help_heading = "Configuration")]
    pub ae_title: Option<String>,
    /// Address of viewer and DICOMweb [default: 127.0.0.1:8042; env: PACS_HTTP_LISTEN]
    #[arg(long, global = true, value_name = "ADDR", help_heading = "Configuration")]
    pub http_listen: Option<String>,
    /// Rooms to run, e.g. dicom,web [default: dicom,web,ai,integration; env: PACS_ROLES]
    #[arg(long, global = true, value_name = "LIST", help_heading = "Configuration")]
    pub roles: Option<String>,
    /// No sign-in, for trials on loopback only [env: PACS_INSECURE_NO_AUTH]
    #[arg(long, global = true, help_heading = "Configuration")]
    pub insecure_no_auth: bool,
    /// Any key of docs/configuration.md, e.g. --set storage.quiet_seconds=3
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", help_heading = "Configuration")]
    pub set: Vec<String>,
}

/// Where a value was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The configuration that runs, and where each key came from.
#[derive(Debug)]
pub struct Effective {
    pub config: Config,
    keys: BTreeMap<String, (Value, Source)>,
}

impl Effective {
    /// `environment` is passed in so that tests need not touch the process's own.
    pub fn load(settings: &Settings, environment: &[(String, String)]) -> anyhow::Result<Self> {
        let mut keys = BTreeMap::new();
        flatten("", serde_json::to_value(Config::default())?, &mut |key, value| {
            keys.insert(key, (value, Source::Default));
        });
        let defaults: BTreeMap<String, Value> = keys.iter().map(|(k, (v, _))| (k.clone(), v.clone())).collect();
        if let Some(path) = file_of(settings, environment)? {
            for (key, value) in read_file(&path)? {
                keys.insert(key, (value, Source::File(path.clone())));
            }
        }
        for (key, text, source) in from_environment(environment, &defaults).into_iter().chain(from_flags(settings)?) {
            let default = defaults.get(&key).with_context(|| format!("{source}: there is no key {key}"))?;
            let value = typed(default, &text).with_context(|| format!("{source}: {key} cannot be {text:?}"))?;
            keys.insert(key, (value, source));
        }
        let config = assemble(&keys)?;
        check(&config)?;
        Ok(Self { config, keys })
    }

    /// One line a key, as TOML with the origin as comment; secrets are masked.
    pub fn print(&self) -> String {
        let lines = self.keys.iter().map(|(key, (value, source))| {
            let value = mask(key, value.clone());
            match toml_value(&value) {
                Some(text) => format!("{key} = {text}  # {source}\n"),
                None => format!("# {key} is not set  # {source}\n"),
            }
        });
        lines.collect()
    }
}

fn file_of(settings: &Settings, environment: &[(String, String)]) -> anyhow::Result<Option<PathBuf>> {
    let named = environment.iter().find(|(name, _)| name == "PACS_CONFIG").map(|(_, path)| PathBuf::from(path));
    match settings.config.clone().or(named) {
        Some(path) if path.is_file() => Ok(Some(path)),
        Some(path) => bail!("configuration file {} does not exist", path.display()),
        None => Ok(Some(PathBuf::from(DEFAULT_FILE)).filter(|p| p.is_file())),
    }
}

fn read_file(path: &Path) -> anyhow::Result<Vec<(String, Value)>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value: Value = toml::from_str(&text).with_context(|| format!("{} is not valid TOML", path.display()))?;
    // Read alone first: an error then names the file's own key.
    serde_json::from_value::<Config>(value.clone())
        .with_context(|| format!("{} has a wrong key or value", path.display()))?;
    let mut keys = Vec::new();
    flatten("", value, &mut |key, value| keys.push((key, value)));
    Ok(keys)
}

fn from_environment(
    environment: &[(String, String)],
    defaults: &BTreeMap<String, Value>,
) -> Vec<(String, String, Source)> {
    let key_of = |name: &str| -> Option<String> {
        let rest = name.strip_prefix("PACS_")?;
        let short = SHORT.iter().find(|(flag, _)| flag.replace('-', "_").to_uppercase() == rest);
        short.map(|(_, key)| (*key).to_owned()).or_else(|| defaults.keys().find(|k| variable(k) == name).cloned())
    };
    let set = environment
        .iter()
        .filter_map(|(name, text)| Some((key_of(name)?, text.clone(), Source::Environment(name.clone()))));
    set.collect()
}

fn from_flags(settings: &Settings) -> anyhow::Result<Vec<(String, String, Source)>> {
    let insecure = settings.insecure_no_auth.then(|| "true".to_owned());
    let given = [
        &settings.data_dir,
        &settings.database_url,
        &settings.store_url,
        &settings.dicom_listen,
        &settings.dicom_tls_listen,
        &settings.ae_title,
        &settings.http_listen,
        &settings.roles,
        &insecure,
    ];
    let short = SHORT
        .iter()
        .zip(given)
        .filter_map(|((flag, key), text)| Some(((*key).to_owned(), text.clone()?, Source::Flag(format!("--{flag}")))));
    let mut all: Vec<_> = short.collect();
    for text in &settings.set {
        let (key, value) = text.split_once('=').with_context(|| format!("--set {text}: write KEY=VALUE"))?;
        all.push((key.trim().to_owned(), value.trim().to_owned(), Source::Flag("--set".to_owned())));
    }
    Ok(all)
}

/// The environment variable of a key: `storage.quiet_seconds` is `PACS_STORAGE_QUIET_SECONDS`.
pub fn variable(key: &str) -> String {
    format!("PACS_{}", key.replace('.', "_").to_uppercase())
}

/// Text from environment or flag, read as the type that the default has.
fn typed(default: &Value, text: &str) -> anyhow::Result<Value> {
    Ok(match default {
        Value::Bool(_) => Value::Bool(text.parse()?),
        Value::Number(_) => serde_json::from_str(text)?,
        Value::Array(_) if text.trim_start().starts_with('[') => serde_json::from_str(text)?,
        Value::Array(_) => text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(Value::from).collect(),
        _ => Value::from(text),
    })
}

fn flatten(prefix: &str, value: Value, add: &mut dyn FnMut(String, Value)) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                flatten(&key, value, add);
            }
        }
        leaf => add(prefix.to_owned(), leaf),
    }
}

fn assemble(keys: &BTreeMap<String, (Value, Source)>) -> anyhow::Result<Config> {
    let mut root = Value::Object(Default::default());
    for (key, (value, _)) in keys {
        let mut place = &mut root;
        for part in key.split('.') {
            place = &mut place[part];
        }
        *place = value.clone();
    }
    serde_json::from_value(root).context("configuration")
}

fn check(config: &Config) -> anyhow::Result<()> {
    let listeners = [config.dicom_listen, config.http_listen].into_iter().chain(config.dicom_tls_listen);
    let open = listeners.into_iter().find(|a| !a.ip().is_loopback());
    if let (true, Some(address)) = (config.insecure_no_auth, open) {
        bail!("insecure_no_auth is for trials on loopback, but {address} is not: sign-in cannot be switched off there");
    }
    let tls = &config.dicom.tls;
    if config.dicom_tls_listen.is_some() && (tls.certificate.is_none() || tls.key.is_none()) {
        bail!(
            "dicom_tls_listen needs dicom.tls.certificate and dicom.tls.key; docs/dicom-tls.md shows how to make them"
        );
    }
    Ok(())
}

/// Passwords in URLs and anything named like a secret, also inside arrays of routes.
fn mask(key: &str, value: Value) -> Value {
    let secret =
        ["token", "password", "secret"].iter().any(|word| key.rsplit('.').next().is_some_and(|k| k.contains(word)));
    match value {
        Value::String(text) if secret && !text.is_empty() => Value::from("***"),
        Value::String(text) => Value::from(mask_url(&text)),
        Value::Array(items) => items.into_iter().map(|item| mask(key, item)).collect(),
        Value::Object(members) => Value::Object(members.into_iter().map(|(k, v)| (k.clone(), mask(&k, v))).collect()),
        other => other,
    }
}

fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let Some((credentials, host)) = rest.split_once('@') else { return text.to_owned() };
    let user = credentials.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}:***@{host}")
}

/// A leaf as inline TOML; `None` for null.
fn toml_value(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Array(items) => format!("[{}]", items.iter().filter_map(toml_value).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let pairs = members.iter().filter_map(|(k, v)| Some(format!("{k} = {}", toml_value(v)?)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    })
}

/// `docs/configuration.md`: every key with type, default, variable and meaning, from the structs' own doc lines.
pub fn reference() -> String {
    let schema = schemars::schema_for!(Config).to_value();
    let mut text = String::from(REFERENCE_HEAD);
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    describe(&mut text, "", &schema, &schema, &defaults);
    text
}

const REFERENCE_HEAD: &str = "# Configuration\n\n\
Generated from the configuration structs by `pacs config reference`; do not edit.\n\n\
Later sources win: default, `pacs.toml` (or `--config FILE`), environment, flags. Any key can be set by its variable or by\n\
`--set KEY=VALUE`; the short flags are in `pacs serve --help`. `pacs serve --print-config` shows what runs and where each\n\
value came from.\n\n| key | default | variable | meaning |\n|---|---|---|---|\n";

fn describe(text: &mut String, prefix: &str, root: &Value, schema: &Value, defaults: &Value) {
    let Some(properties) = resolve(root, schema)["properties"].as_object() else { return };
    for (name, property) in properties {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let default = &defaults[name];
        if default.is_object() {
            describe(text, &key, root, property, default);
            continue;
        }
        let meaning = property["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let default = toml_value(default).unwrap_or_else(|| "not set".to_owned());
        text.push_str(&format!("| `{key}` | `{default}` | `{}` | {meaning} |\n", variable(&key)));
    }
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    reference.and_then(|r| root.pointer(r.trim_start_matches('#'))).unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(settings: Settings, environment: &[(&str, &str)]) -> anyhow::Result<Effective> {
        let environment: Vec<_> = environment.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        Effective::load(&settings, &environment)
    }

    fn file(text: &str) -> (tempfile::TempDir, Settings) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pacs.toml");
        std::fs::write(&path, text).unwrap();
        (folder, Settings { config: Some(path), ..Settings::default() })
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let (_folder, settings) = file("");
        assert_eq!(load(settings, &[]).unwrap().config, Config::default());
    }

    #[test]
    fn flags_win_over_environment_and_environment_over_the_file() {
        let (_folder, settings) = file("[dicom]\nae_title = 'FILE'\n[storage]\nquiet_seconds = 1\n");
        let environment = [("PACS_AE_TITLE", "ENV"), ("PACS_STORAGE_QUIET_SECONDS", "2"), ("PACS_ROLES", "dicom,web")];
        let effective = load(Settings { ae_title: Some("FLAG".into()), ..settings }, &environment).unwrap();
        assert_eq!(effective.config.dicom.ae_title.as_str(), "FLAG");
        assert_eq!(effective.config.storage.quiet_seconds, 2);
        assert_eq!(effective.config.roles, [Room::Dicom, Room::Web].into());
        let print = effective.print();
        assert!(print.contains("dicom.ae_title = \"FLAG\"  # flag --ae-title"), "{print}");
        assert!(print.contains("storage.quiet_seconds = 2  # env PACS_STORAGE_QUIET_SECONDS"), "{print}");
    }

    #[test]
    fn wrong_keys_and_values_are_named() {
        for (text, part) in
            [("quiet = 3", "quiet"), ("[storage]\nquiet_seconds = 'x'", "quiet_seconds"), ("a = = 1", "TOML")]
        {
            let (_folder, settings) = file(text);
            let error = format!("{:#}", load(settings, &[]).unwrap_err());
            assert!(error.contains(part) || error.contains("expected"), "{error}");
            assert!(error.contains("pacs.toml"), "{error}");
        }
        let error = load(Settings { set: vec!["storage.nothing=1".into()], ..Settings::default() }, &[]).unwrap_err();
        assert!(format!("{error:#}").contains("no key storage.nothing"));
        let twice = Settings { set: vec!["web.insecure_no_auth=true".into()], ..Settings::default() };
        assert!(load(twice, &[]).is_err(), "sign-in has one switch");
    }

    #[test]
    fn sign_in_cannot_be_switched_off_in_the_open() {
        let open = Settings { insecure_no_auth: true, http_listen: Some("0.0.0.0:8042".into()), ..Settings::default() };
        assert!(load(open, &[]).is_err());
        let local = Settings { insecure_no_auth: true, ..Settings::default() };
        assert!(load(local, &[]).unwrap().config.insecure_no_auth);
    }

    #[test]
    fn a_tls_port_needs_a_certificate_and_its_key() {
        let mut settings = Settings { dicom_tls_listen: Some("127.0.0.1:2762".into()), ..Settings::default() };
        assert!(load(settings.clone(), &[]).is_err());
        settings.set = vec!["dicom.tls.certificate=pacs.pem".into(), "dicom.tls.key=pacs.key".into()];
        let config = load(settings, &[]).unwrap().config;
        assert_eq!(config.dicom_tls_listen.map(|address| address.port()), Some(2762));
        assert_eq!(config.dicom.tls.key, Some("pacs.key".into()));
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings = Settings { database_url: Some("postgres://pacs:hunter2@db/pacs".into()), ..Settings::default() };
        let print = load(settings, &[]).unwrap().print();
        assert!(print.contains("postgres://pacs:***@db/pacs") && !print.contains("hunter2"), "{print}");
    }

    #[test]
    fn the_reference_in_docs_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, reference(), "run `pacs config reference > docs/configuration.md`");
    }
}
