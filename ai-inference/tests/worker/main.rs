//! Series in, reports out: the worker over a real archive.

mod life;
mod orientation;
mod phantom;
mod real_scans;
mod support;
