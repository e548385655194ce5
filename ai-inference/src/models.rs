//! Model packages: found, checked, tried; only then do they serve.

use crate::{
    card::{Card, OperatingPoint},
    config::AiConfig,
    engine::Engine,
    error::ModelError,
};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, panic::catch_unwind, path::Path};

/// A model whose files are those of its card. It serves by an engine, which tries it first.
pub struct Model {
    pub card: Card,
    pub operating_point: OperatingPoint,
    onnx: Cow<'static, [u8]>,
    selftest_output: Cow<'static, [u8]>,
}

/// The files of a package.
struct Package {
    card: Cow<'static, str>,
    onnx: Cow<'static, [u8]>,
    selftest_output: Cow<'static, [u8]>,
}

const BUILT_IN: &str = "nodule-demo/1";

fn built_in() -> Package {
    Package {
        card: include_str!("../models/nodule-demo/1/card.toml").into(),
        onnx: include_bytes!("../models/nodule-demo/1/model.onnx").into(),
        selftest_output: include_bytes!("../models/nodule-demo/1/selftest_output.f32").into(),
    }
}

/// Reads the configured model and checks its files; blocks.
///
/// # Errors
/// The model is then quarantined: it must not serve, and the error says why.
pub fn load(config: &AiConfig) -> Result<Model, ModelError> {
    let package = match &config.models_dir {
        Some(folder) => read(folder, &config.model)?,
        None if config.model == BUILT_IN => built_in(),
        None => return Err(ModelError::Unknown(config.model.clone())),
    };
    let card = Card::parse(&package.card)?;
    if format!("{}/{}", card.id, card.version) != config.model {
        return Err(ModelError::Contract(format!("it is of {}/{}, not of {}", card.id, card.version, config.model)));
    }
    check_hash("model.onnx", &package.onnx, &card.sha256)?;
    check_hash("selftest_output.f32", &package.selftest_output, &card.selftest.output_sha256)?;
    let named = card.operating_point(&config.operating_point).cloned();
    let missing = || ModelError::Contract(format!("it has no operating point {}", config.operating_point));
    let operating_point = named.ok_or_else(missing)?;
    let Package { onnx, selftest_output, .. } = package;
    Ok(Model { card, operating_point, onnx, selftest_output })
}

impl Model {
    /// Makes the graph ready to run and tries it: graph against card, self-test. Takes a second or two, and some 50 MB for a
    /// small network; blocks.
    ///
    /// # Errors
    /// As with [`load`].
    pub fn engine(&self) -> Result<Engine, ModelError> {
        // A graph made to do harm may break an assumption of the engine; that too is only a quarantined model.
        let engine = catch_unwind(|| self.try_out());
        engine.map_err(|_| ModelError::Graph("the engine panicked".into()))?
    }

    fn try_out(&self) -> Result<Engine, ModelError> {
        let engine = Engine::load(&self.onnx, &self.card)?;
        let output = engine.run(selftest_input(self.card.input.shape.iter().product()))?;
        let (expected, rest) = self.selftest_output.as_chunks::<4>();
        if !rest.is_empty() || expected.len() != output.len() {
            let (held, given) = (expected.len(), output.len());
            return Err(ModelError::Contract(format!("the self-test has {held} values, not {given}")));
        }
        let differences = expected.iter().zip(&output).map(|(bytes, value)| (f32::from_le_bytes(*bytes) - value).abs());
        // A NaN is no agreement, and `f32::max` would lose it.
        let off = differences.fold(0.0, |worst, d: f32| if d.is_nan() || d > worst { d } else { worst });
        let allowed = self.card.selftest.max_abs_diff;
        if off <= allowed { Ok(engine) } else { Err(ModelError::SelfTest { off, allowed }) }
    }
}

fn read(folder: &Path, model: &str) -> Result<Package, ModelError> {
    let sound = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\']);
    let parts = model.split_once('/').filter(|(id, version)| sound(id) && sound(version));
    let (id, version) = parts.ok_or_else(|| ModelError::Unknown(model.to_owned()))?;
    let folder = folder.join(id).join(version);
    let file = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|source| ModelError::File { file: path.display().to_string(), source })
    };
    Ok(Package {
        card: String::from_utf8_lossy(&file("card.toml")?).into_owned().into(),
        onnx: file("model.onnx")?.into(),
        selftest_output: file("selftest_output.f32")?.into(),
    })
}

fn check_hash(file: &'static str, bytes: &[u8], expected: &str) -> Result<(), ModelError> {
    let actual: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if actual == expected { Ok(()) } else { Err(ModelError::Hash { file, expected: expected.to_owned(), actual }) }
}

/// The input that every card's self-test uses: x[i] = (i * 2654435761 mod 2^32) / 2^32.
fn selftest_input(len: usize) -> Vec<f32> {
    let value = |i: u32| (f64::from(i.wrapping_mul(2_654_435_761)) / 4_294_967_296.0) as f32;
    (0..len as u32).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(change: impl FnOnce(&Path)) -> (tempfile::TempDir, AiConfig) {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("nodule-demo/1");
        std::fs::create_dir_all(&package).unwrap();
        let files = built_in();
        std::fs::write(package.join("card.toml"), files.card.as_bytes()).unwrap();
        std::fs::write(package.join("model.onnx"), &files.onnx).unwrap();
        std::fs::write(package.join("selftest_output.f32"), &files.selftest_output).unwrap();
        change(&package);
        let config = AiConfig { models_dir: Some(folder.path().to_owned()), ..AiConfig::default() };
        (folder, config)
    }

    fn quarantined(change: impl FnOnce(&Path)) -> ModelError {
        let (_folder, config) = package(change);
        load(&config).and_then(|model| model.engine()).err().unwrap()
    }

    fn edit_card(package: &Path, edit: impl FnOnce(String) -> String) {
        let path = package.join("card.toml");
        std::fs::write(&path, edit(std::fs::read_to_string(&path).unwrap())).unwrap();
    }

    fn hash(bytes: &[u8]) -> String {
        match check_hash("", bytes, "") {
            Err(ModelError::Hash { actual, .. }) => actual,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_built_in_model_passes_its_self_test() {
        let model = load(&AiConfig::default()).unwrap();
        assert!(model.engine().is_ok());
        assert_eq!(model.operating_point.name, "default");
    }

    #[test]
    fn a_package_in_a_folder_serves_like_the_built_in_one() {
        let (_folder, config) = package(|_| ());
        assert_eq!(load(&config).unwrap().card, load(&AiConfig::default()).unwrap().card);
    }

    #[test]
    fn a_changed_graph_is_quarantined_by_its_hash() {
        let error = quarantined(|package| {
            let mut onnx = built_in().onnx.into_owned();
            onnx[1000] ^= 1;
            std::fs::write(package.join("model.onnx"), onnx).unwrap();
        });
        assert!(matches!(error, ModelError::Hash { file: "model.onnx", .. }), "{error}");
    }

    #[test]
    fn a_graph_that_is_none_is_quarantined() {
        let error = quarantined(|package| {
            std::fs::write(package.join("model.onnx"), b"no graph").unwrap();
            edit_card(package, |card| card.replace(&hash(&built_in().onnx), &hash(b"no graph")));
        });
        assert!(matches!(error, ModelError::Graph(_)), "{error}");
    }

    #[test]
    fn a_self_test_that_disagrees_quarantines() {
        let error = quarantined(|package| {
            let mut expected = built_in().selftest_output.into_owned();
            expected[..4].copy_from_slice(&9.0_f32.to_le_bytes());
            std::fs::write(package.join("selftest_output.f32"), &expected).unwrap();
            edit_card(package, |card| card.replace(&hash(&built_in().selftest_output), &hash(&expected)));
        });
        assert!(matches!(error, ModelError::SelfTest { .. }), "{error}");
    }

    #[test]
    fn a_card_that_names_another_output_is_quarantined() {
        let error =
            quarantined(|package| edit_card(package, |card| card.replace("name = \"map\"", "name = \"boxes\"")));
        assert!(error.to_string().contains("outputs [\"map\"]"), "{error}");
    }

    #[test]
    fn unknown_models_and_names_that_leave_the_folder_are_refused() {
        for model in ["nodule-demo", "../1", "nodule-demo/..", "other/1"] {
            let config = AiConfig { model: model.into(), ..AiConfig::default() };
            assert!(matches!(load(&config), Err(ModelError::Unknown(_))), "{model}");
        }
        let (_folder, config) = package(|_| ());
        for model in ["nodule-demo", "../1", "nodule-demo/..", "a/b/c"] {
            let config = AiConfig { model: model.into(), ..config.clone() };
            assert!(matches!(load(&config), Err(ModelError::Unknown(_))), "{model}");
        }
        let config = AiConfig { operating_point: "loud".into(), ..AiConfig::default() };
        assert!(load(&config).err().unwrap().to_string().contains("no operating point loud"));
    }
}
