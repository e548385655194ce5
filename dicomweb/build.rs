//! Lets the crate compile before the viewer was built: the folder that is embedded must exist, if only empty.

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=../viewer-wasm/dist");
    std::fs::create_dir_all("../viewer-wasm/dist")
}
