//! The real binary: started, watched, asked and ended as its users do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::{Answer, Http};

/// Longest that a command may take.
const LONGEST: Duration = Duration::from_mins(1);

/// What the gate logs once it serves.
const OPEN: &str = "the gate is open";

/// The binary, with nothing in its environment that would steer it.
pub fn portcullis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PORTCULLIS") {
            command.env_remove(name);
        }
    }
    for name in ["DIR", "PORT", "ADMIN_PORT", "UPSTREAM_PORT", "REDIS_URL", "DURABILITY", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command
}

/// The binary with the acceptance config in `dir` and the variables that it wants: free ports, no upstream behind it.
pub fn on(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = portcullis();
    command.args(arguments).arg("--config").arg(dir.join("portcullis.yaml"));
    command.env("DIR", dir).env("PORT", "0").env("ADMIN_PORT", "0").env("UPSTREAM_PORT", "9");
    command
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    /// The code, or the signal that ended it.
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Finished {
    /// Standard output as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }

    /// The exit code and all that was said, when it is the code that is due.
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Finished {
    finish_with(command, "")
}

/// The same with `input` on its standard input.
pub fn finish_with(command: &mut Command, input: &str) -> Finished {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let id = child.id();
    // A command that does not read its input may be gone already.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let (tell, ended) = channel();
    let waiting = std::thread::spawn(move || tell.send(child.wait_with_output()).unwrap());
    let Ok(output) = ended.recv_timeout(LONGEST) else {
        signal(id, "KILL");
        panic!("it did not end: {command:?}");
    };
    waiting.join().unwrap();
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Finished { code: output.status.code(), status: output.status, out: text(output.stdout), err: text(output.stderr) }
}

/// Sends a signal to a process that a test started.
fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name}");
}

/// A command that goes on, and what it has said so far.
pub struct Running {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    lines: Mutex<Receiver<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::<Mutex<Vec<String>>>::default();
        let (tell, lines) = channel();
        let pipes: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let readers = pipes
            .into_iter()
            .map(|pipe| {
                let (said, tell) = (Arc::clone(&said), tell.clone());
                std::thread::spawn(move || {
                    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                        said.lock().unwrap().push(line.clone());
                        // Nobody may be listening any more.
                        drop(tell.send(line));
                    }
                })
            })
            .collect();
        Self { child, said, lines: Mutex::new(lines), readers }
    }

    /// Waits for a line that has `words`, passing over others.
    pub fn hear(&self, words: &str) -> String {
        let lines = self.lines.lock().unwrap();
        loop {
            match lines.recv_timeout(LONGEST) {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("it never said `{words}`: {:#?}", self.said())
                }
            }
        }
    }

    /// All lines so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Sends a signal, waits for the end, and answers the exit code and all lines.
    pub fn end(mut self, name: &str) -> (Option<i32>, Vec<String>) {
        self.signal(name);
        // The pipes close when the process has ended.
        while self.lines.lock().unwrap().recv_timeout(LONGEST).is_ok() {}
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let code = self.child.wait().unwrap().code();
        (code, self.said())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, or not wanted any more.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A gate that is a process.
pub struct Gate {
    pub process: Running,
    http: Http,
    listen: String,
    admin: String,
}

impl Gate {
    /// Starts it and waits until it serves.
    pub fn start(command: &mut Command) -> Self {
        let process = Running::start(command);
        let line: Value = serde_json::from_str(&process.hear(OPEN)).unwrap();
        let address = |name: &str| line["fields"][name].as_str().unwrap().to_owned();
        Self { http: Http::default(), listen: address("listen"), admin: address("admin"), process }
    }

    /// Asks the data plane.
    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.http.send(&format!("http://{}{path}", self.listen), method, headers, body.into()).await
    }

    /// A JSON POST with a gate key.
    pub async fn post(&self, key: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.ask(Method::POST, path, &headers, body.to_string()).await
    }

    /// Asks the admin plane.
    pub async fn admin(&self, path: &str) -> Answer {
        self.http.send(&format!("http://{}{path}", self.admin), Method::GET, &[], Bytes::new()).await
    }
}
