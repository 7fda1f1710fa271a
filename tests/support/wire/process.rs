//! The real binary: started, watched by what it says on standard error, signalled, ended.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tokio::sync::mpsc;

use super::super::PATIENCE;

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

/// A running `portcullis run`. Dropped, it is killed.
pub struct Process {
    child: Child,
    reader: Option<JoinHandle<()>>,
    said: Arc<Mutex<String>>,
    /// Where the data plane listens.
    pub listen: String,
    /// Where the admin plane listens.
    pub admin: String,
}

/// The command that runs a site's gate.
pub fn gate(dir: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["run", "--log-format", "json", "--config"]).arg(dir.join("portcullis.yaml"));
    placed(command, dir)
}

/// The same behind a line of shell; `"$@"` is the gate's command.
pub fn gate_in_shell(dir: &Path, script: &str) -> Command {
    let mut command = Command::new("sh");
    let config = dir.join("portcullis.yaml");
    command.args(["-c", script, "sh", BINARY, "run", "--log-format", "json", "--config"]).arg(config);
    placed(command, dir)
}

fn placed(mut command: Command, dir: &Path) -> Command {
    command.env("DIR", dir).env("PORT", "0").env("ADMIN_PORT", "0");
    command
}

/// `portcullis audit verify`: whether it is content, and what it says as JSON.
pub fn verify(audit: &Path) -> (bool, Value) {
    let output = Command::new(BINARY).args(["audit", "verify", "--format", "json"]).arg(audit).output().unwrap();
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

/// `tests/verify_chain.py`: whether it is content, and what it says.
pub fn verify_independently(audit: &Path) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_chain.py");
    let output = Command::new("python3").arg(script).arg(audit).output().expect("python3 is needed");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

impl Process {
    /// Starts it and waits until it is open.
    pub async fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (tell, mut opened) = mpsc::unbounded_channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let heard = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("the gate is open") {
                    drop(tell.send(line.clone()));
                }
                let mut heard = heard.lock().unwrap();
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        let line = tokio::time::timeout(PATIENCE, opened.recv()).await.ok().flatten();
        let Some(line) = line else { panic!("the gate does not open: {}", said.lock().unwrap()) };
        let line: Value = serde_json::from_str(&line).unwrap();
        let field = |name: &str| line["fields"][name].as_str().unwrap().to_owned();
        Self { child, reader: Some(reader), said, listen: field("listen"), admin: field("admin") }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// What it said on standard error so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end: how it ended, and all it said.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let status = super::super::eventually("the gate ends", async || self.child.try_wait().unwrap()).await;
        self.reader.take().unwrap().join().unwrap();
        (status, self.said())
    }

    /// A figure of `/proc/<pid>/status` in KiB, such as `VmHWM`.
    pub fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
