//! How fast texts are scanned: clean English of the sizes that chats have, one with a finding, and texts made to be slow.
//!
//! `cargo bench --bench risk`. Goals on one core: clean English at 1 GB/s and more; nothing, however it was made, below
//! 20 MB/s, and none of it quadratic (a text four times as long takes four times as long).

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a bench may stop at a defect of its own")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portcullis::risk::{Findings, Scanner};

const WORDS: &str = "the of and to a in is that it was for on are as with his they at be this from have or by one had not but what \
    all were when we there can an your which their said if do will each about how up out them then she many some so these would \
    other into has more her two like him see time could no make than first been its who now people my made over did down only way \
    find use may water long little very after words called just where most know get through back much before good new write our \
    used me man too any day same right look think also around another came come work three word must because does part even place \
    well such here take why things help put years different away again off went old number great tell men say small every found \
    still between name should home big give air line set own under read last never us left end along while might next sound below \
    report budget meeting customer project schedule service contract delivery quarter review process request support team figures \
    market product value results quality training document summary draft section policy decision research analysis data estimate \
    average increase reduce percent plan goal risk issue department manager office message response account invoice payment \
    shipping warehouse supplier inventory software update release version feature design test deploy server network storage";

/// Numbers that follow one another without a pattern, the same in every run (Knuth's MMIX generator).
fn draws() -> impl Iterator<Item = usize> {
    let mut state = 7_u64;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).ok()
    })
}

/// Sentences of common words, the commonest most often, with a year or a count now and then.
fn english(bytes: usize) -> String {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut draws = draws();
    let mut draw = |below: usize| draws.next().unwrap_or_default() % below;
    let mut text = String::new();
    while text.len() < bytes {
        for _ in 0..6 + draw(16) {
            let common = draw(words.len()).min(draw(words.len()));
            text.push_str(words[common]);
            text.push_str(if draw(12) == 0 { ", " } else { " " });
            if draw(80) == 0 {
                text.push_str(["2019", "40", "1500", "12"][draw(4)]);
                text.push(' ');
            }
        }
        text.pop();
        text.push_str(". ");
    }
    text.truncate(bytes);
    text
}

fn clean(c: &mut Criterion) {
    let scanner = Scanner::new().expect("the tables compile");
    let mut findings = Findings::new();
    let mut group = c.benchmark_group("risk/english");
    for size in [1 << 10, 16 << 10, 128 << 10] {
        let text = english(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &text, |b, text| {
            b.iter(|| {
                findings.clear();
                scanner.scan(black_box(text), &mut findings);
                findings.counts().is_empty()
            });
        });
    }
    group.finish();
}

fn hostile(c: &mut Criterion) {
    let scanner = Scanner::new().expect("the tables compile");
    let mut findings = Findings::new();
    let mut group = c.benchmark_group("risk/hostile");
    let pieces = [
        ("digits", "4"),
        ("groups of digits", "4111 "),
        ("cards", "4111 1111 1111 1111 "),
        ("at signs", "@"),
        ("addresses", "a@b.co "),
        ("key prefixes", "sk-"),
        ("AKIA", "AKIA"),
        ("begin lines", "-----BEGIN PRIVATE KEY-----\n"),
        ("ignore", "ignore "),
        ("ignore in Chinese", "忽略"),
        ("system prompt", "your system prompt "),
    ];
    for (name, piece) in pieces {
        for size in [32 << 10, 128 << 10] {
            let text = piece.repeat(size / piece.len());
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_with_input(BenchmarkId::new(name, size), &text, |b, text| {
                b.iter(|| {
                    findings.clear();
                    scanner.scan(black_box(text), &mut findings);
                    findings.injection_score()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, clean, hostile);
criterion_main!(benches);
