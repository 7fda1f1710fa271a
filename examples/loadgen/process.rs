//! Processor time and memory of a process and its descendants, from Linux's `/proc` (proc(5)).

use std::collections::BTreeMap;
use std::fs;

/// Microseconds of one clock tick: `USER_HZ` is 100 on every architecture that runs this.
pub(crate) const TICK_US: f64 = 10_000.0;

/// Clock ticks spent so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) user: u64,
    pub(crate) system: u64,
}

/// Resident memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) now_kib: u64,
    /// The sum of each process's own peak.
    pub(crate) peak_kib: u64,
}

/// What the tree under `root` has spent; processes that ended are in their parent's account.
pub(crate) fn tree_cpu(root: u32) -> Result<Cpu, String> {
    let mut all = Cpu::default();
    for pid in tree(root)? {
        let fields = stat(pid).unwrap_or_default();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
        // utime, stime, cutime, cstime: fields 14 to 17 of proc_pid_stat(5); `fields` begins with the third.
        all.user += ticks(11) + ticks(13);
        all.system += ticks(12) + ticks(14);
    }
    Ok(all)
}

/// What the tree under `root` holds in memory.
pub(crate) fn tree_memory(root: u32) -> Result<Memory, String> {
    let mut all = Memory::default();
    for pid in tree(root)? {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        all.now_kib += kib("VmRSS").unwrap_or_default();
        all.peak_kib += kib("VmHWM").unwrap_or_default();
    }
    Ok(all)
}

fn tree(root: u32) -> Result<Vec<u32>, String> {
    if stat(root).is_none() {
        return Err(format!("there is no process {root}"));
    }
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").map_err(|why| why.to_string())?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let parent = stat(pid).and_then(|fields| fields.get(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut open) = (Vec::new(), vec![root]);
    while let Some(pid) = open.pop() {
        open.extend(children.get(&pid).into_iter().flatten());
        found.push(pid);
    }
    Ok(found)
}

/// The fields of `/proc/PID/stat` from the third on: the second, the name, may hold spaces and parentheses.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(ToOwned::to_owned).collect())
}
