//! The real program on a disk that takes no more: what callers hear, and what the log says at that moment.
//!
//! The disk is a file size limit of the process (`RLIMIT_FSIZE`, its signal ignored), so no privileges are needed.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Longest that the test waits for a line that must come.
const PATIENCE: Duration = Duration::from_secs(30);

struct Gate {
    process: Child,
    lines: Receiver<Value>,
}

impl Gate {
    /// Starts the gate in `dir`, its files limited to 8 KiB each.
    fn start(dir: &Path) -> Self {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let config = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstate: ./var\npolicies: {}\nupstreams:\n  \
             openai: {{url: 'http://127.0.0.1:9'}}\n  anthropic: {{url: 'http://127.0.0.1:9'}}\n",
            fixture.display()
        );
        std::fs::write(dir.join("portcullis.yaml"), config).unwrap();
        let mut process = Command::new("bash")
            .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" run --config portcullis.yaml --log-format json"])
            .arg(env!("CARGO_BIN_EXE_portcullis"))
            .current_dir(dir)
            .env_remove("PORTCULLIS_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { process, lines }
    }

    /// The next log line whose message begins so.
    fn line(&self, beginning: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line `{beginning} …`"));
            if line["fields"]["message"].as_str().is_some_and(|message| message.starts_with(beginning)) {
                return line;
            }
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// The status of a request without a key, which is recorded like any other.
fn knock(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /v1/models HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_failed_audit_write_refuses_every_call_and_is_told_in_the_log_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::start(dir.path());
    let open = gate.line("the gate is open");
    let address = open["fields"]["listen"].as_str().unwrap();

    let statuses: Vec<String> = (0..40).map(|_| knock(address)).collect();
    let refused = statuses.iter().position(|status| status == "503").expect("the disk is full by now");
    assert!(refused > 0 && statuses[..refused].iter().all(|status| status == "401"), "{statuses:?}");
    assert!(statuses[refused..].iter().all(|status| status == "503"), "{statuses:?}");

    let told = gate.line("the audit log cannot be written");
    assert_eq!(told["level"], "ERROR");
    assert!(told["fields"]["fault"].as_str().unwrap().contains("os error"), "{told}");
}
