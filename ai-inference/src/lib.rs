//! ai-inference
