//! viewer-wasm
