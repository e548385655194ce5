//! A whole server on loopback, and the foreign programs that judge it.
//!
//! Scenario tests drive the built `pacs` binary (`PACS_BIN`, else built on first use) through programs nobody here
//! wrote. A test whose peer or data is missing prints `skipped: ` and why, and passes; scripts/test installs the peers
//! and takes such a line for a failure.

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The shared test data, or `None` with a printed reason.
pub fn shared(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("YINGHAI_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let path = folder.join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no shared test data at {}", path.display());
    None
}

/// A program of Debian's, or `None` with a printed reason. Looked up in /usr/bin, since pip packages shadow dcmtk's.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = Path::new("/usr/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {name} is not installed");
    None
}

/// The Python that has the peers of tests/peers/requirements.txt, or `None` with a printed reason.
pub fn python() -> Option<PathBuf> {
    installed("bin/python", "Python peers")
}

/// The folder of the OHIF viewer, made for `/ohif`, or `None` with a printed reason.
pub fn ohif() -> Option<PathBuf> {
    installed("ohif", "OHIF")
}

/// What scripts/prepare puts into the folder of peers.
fn installed(path: &str, what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("YINGHAI_PEERS").map(PathBuf::from);
    let cache = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/yinghai/peers"));
    let path = folder.or(cache)?.join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no {what}; scripts/test installs it");
    None
}

/// A script of tests/peers.
pub fn peer(script: &str) -> PathBuf {
    root().join("tests/peers").join(script)
}

/// The `pacs` binary.
pub fn pacs() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("PACS_BIN") {
            return path.into();
        }
        let built = Command::new(env!("CARGO")).args(["build", "-p", "pacs-server"]).current_dir(root()).status();
        assert!(built.expect("cargo runs").success(), "the server does not build");
        let test = std::env::current_exe().expect("a test has a path");
        test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").join("pacs")
    })
}

/// Runs to the end and fails the test if the program fails.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    let text = text_of(&output);
    assert!(output.status.success(), "{command:?} failed with {}:\n{text}", output.status);
    text
}

pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"))
}

/// Standard output and error together.
pub fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// Asks until there is an answer.
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A child process that ends with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running server with a data folder of its own.
pub struct Server {
    process: Running,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    pub dicom: u16,
    pub http: u16,
    pub password: String,
    pub token: String,
}

impl Server {
    /// Starts with a fresh folder; `arguments` are added to `pacs serve`.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder"), arguments)
    }

    pub fn start_in(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let (dicom, http) = (free_port(), free_port());
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>();
        let (process, password) = launch(folder.path(), dicom, http, &arguments);
        let mut server = Self {
            process,
            folder,
            arguments,
            dicom,
            http,
            password: password.unwrap_or_default(),
            token: String::new(),
        };
        server.token = server.pacs(&["token", "create", "--user", "admin", "--name", "scenario"]).trim().to_owned();
        server
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.0.kill().expect("the server is running");
        self.process.0.wait().expect("the server ends");
    }

    /// Starts again on the same folder and ports.
    pub fn restart(&mut self) {
        self.process = launch(self.folder.path(), self.dicom, self.http, &self.arguments).0;
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Runs another `pacs` command on this server's folder; returns standard output.
    pub fn pacs(&self, arguments: &[&str]) -> String {
        let output = output(&mut self.command(arguments));
        assert!(output.status.success(), "pacs {arguments:?}: {}", text_of(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(pacs());
        command.args(arguments).args(place(self.folder.path(), self.dicom, self.http)).current_dir(self.folder.path());
        command
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// GET with the token; the body as JSON.
    pub fn get(&self, path: &str) -> Value {
        let response = self.request(path, "application/dicom+json, application/json");
        assert!(response.status().is_success(), "GET {path}: {}", response.status());
        response.json().expect("a JSON body")
    }

    pub fn request(&self, path: &str, accept: &str) -> reqwest::blocking::Response {
        let request = client().get(self.url(path)).bearer_auth(&self.token).header("accept", accept);
        request.send().unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    /// A dcmtk program's arguments to reach this server.
    pub fn storescu(&self) -> Option<Command> {
        let mut command = Command::new(program("storescu")?);
        command.args(["-aet", "SCANNER", "-aec", "YINGHAI", "127.0.0.1", &self.dicom.to_string()]);
        Some(command)
    }
}

pub fn client() -> reqwest::blocking::Client {
    let limit = Duration::from_secs(120);
    reqwest::blocking::Client::builder().timeout(limit).no_proxy().build().expect("an HTTP client")
}

fn place(folder: &Path, dicom: u16, http: u16) -> Vec<String> {
    vec![
        format!("--data-dir={}", folder.join("data").display()),
        format!("--dicom-listen=127.0.0.1:{dicom}"),
        format!("--http-listen=127.0.0.1:{http}"),
    ]
}

/// Starts, reads the first start's password from the banner, and waits until the server is ready.
fn launch(folder: &Path, dicom: u16, http: u16, arguments: &[String]) -> (Running, Option<String>) {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log file");
    let mut command = Command::new(pacs());
    command.arg("serve").args(place(folder, dicom, http)).args(arguments).current_dir(folder);
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("pacs starts");
    let banner = BufReader::new(child.stdout.take().expect("a piped output"));
    let running = Running(child);
    // The banner ends with the data folder or the sign-in line; the pipe is kept open by a reader thread.
    let (lines, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || banner.lines().map_while(Result::ok).for_each(|line| drop(lines.send(line))));
    let ready = format!("http://127.0.0.1:{http}/readyz");
    wait_for("the server to be ready", Duration::from_secs(60), || {
        client().get(&ready).send().ok().filter(|r| r.status().is_success())
    });
    let password =
        received.try_iter().find_map(|line| Some(line.split_once("admin / ")?.1.split_whitespace().next()?.to_owned()));
    (running, password)
}

/// The packs in a folder and below.
pub fn packs(folder: &Path) -> Vec<PathBuf> {
    let (folders, mut found): (Vec<_>, Vec<_>) =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).partition(|path| path.is_dir());
    found.retain(|file| file.extension().is_some_and(|extension| extension == "tar"));
    found.extend(folders.iter().flat_map(|folder| packs(folder)));
    found
}
