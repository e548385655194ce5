//! The engine: ONNX graphs on the CPU, by tract. One thread a window; windows run side by side.

use crate::{card::Card, error::ModelError};
use std::sync::Arc;
use tract_onnx::{pb::ModelProto, prelude::*};

/// Newest operator set that the engine was tried with.
const NEWEST_OPSET: i64 = 17;

/// A graph ready to run. Cheap to share between threads.
pub struct Engine {
    graph: Arc<TypedRunnableModel>,
    shape: [usize; 5],
}

impl Engine {
    /// Loads a graph and holds it to the card: names and shapes of input and output, operator set.
    pub fn load(onnx: &[u8], card: &Card) -> Result<Self, ModelError> {
        let framework = tract_onnx::onnx();
        let proto = framework.proto_model_for_read(&mut &onnx[..]).map_err(graph_error)?;
        check_names(&proto, card)?;
        let shape = card.input.shape;
        let model = framework.model_for_proto_model(&proto).map_err(graph_error)?;
        let model = model.with_input_fact(0, f32::fact(shape).into()).map_err(graph_error)?;
        let model = model.into_optimized().map_err(graph_error)?;
        let output = model.output_fact(0).map_err(graph_error)?;
        if output.shape.as_concrete() != Some(&card.output.shape) {
            return Err(ModelError::Contract(format!("the graph gives {:?}", output.shape)));
        }
        Ok(Self { graph: model.into_runnable().map_err(graph_error)?, shape })
    }

    /// Runs one window, values in the order of the card's input shape; the output likewise.
    pub fn run(&self, window: Vec<f32>) -> Result<Vec<f32>, ModelError> {
        let input = Tensor::from_shape(&self.shape, &window).map_err(inference_error)?;
        let outputs = self.graph.run(tvec!(input.into())).map_err(inference_error)?;
        let output = outputs.first().ok_or_else(|| ModelError::Inference("no output".into()))?;
        Ok(output.to_plain_array_view::<f32>().map_err(inference_error)?.iter().copied().collect())
    }
}

fn check_names(proto: &ModelProto, card: &Card) -> Result<(), ModelError> {
    let graph = proto.graph.as_ref().ok_or_else(|| ModelError::Graph("the file holds no graph".into()))?;
    let weights: Vec<_> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs: Vec<_> = graph.input.iter().map(|i| i.name.as_str()).filter(|name| !weights.contains(name)).collect();
    let outputs: Vec<_> = graph.output.iter().map(|o| o.name.as_str()).collect();
    if inputs != [card.input.name.as_str()] || outputs != [card.output.name.as_str()] {
        return Err(ModelError::Contract(format!("the graph has inputs {inputs:?} and outputs {outputs:?}")));
    }
    let opset = proto.opset_import.iter().filter(|set| set.domain.is_empty()).map(|set| set.version).max();
    match opset {
        Some(version) if version <= NEWEST_OPSET => Ok(()),
        other => Err(ModelError::Contract(format!("operator set {other:?} is newer than {NEWEST_OPSET}"))),
    }
}

fn graph_error(error: impl std::fmt::Display) -> ModelError {
    ModelError::Graph(format!("{error:#}"))
}

fn inference_error(error: impl std::fmt::Display) -> ModelError {
    ModelError::Inference(format!("{error:#}"))
}
