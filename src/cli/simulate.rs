//! `portcullis simulate` (hidden): the simulated LLM alone, until SIGTERM, Ctrl-C or its own end.

use std::net::SocketAddr;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::End;
use super::screen::{say, unusable};
use crate::simulator::Simulator;

#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// The only credential it accepts; any when left out
    #[arg(long)]
    key: Option<String>,
}

impl Simulate {
    pub(super) fn run(&self) -> End {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(fault) => return unusable(&fault),
        };
        runtime.block_on(async {
            let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
            let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
                return unusable(&std::io::Error::last_os_error());
            };
            let simulator = match Simulator::start(self.listen).await {
                Ok(simulator) => simulator,
                Err(fault) => return unusable(&fault),
            };
            let simulator = match &self.key {
                Some(key) => simulator.expecting_key(key),
                None => simulator,
            };
            drop(say(format_args!("listening on {}", simulator.url())));
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = simulator.ended() => {}
            }
            simulator.stop().await;
            End::Fine
        })
    }
}
