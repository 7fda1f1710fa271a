// The programs under test: the simulated LLM and the gate in front of it, with the policy set of tests/sdk/config.
//
// PORTCULLIS_BIN names the gate's binary (default: target/debug/portcullis); PORTCULLIS_SIMULATOR another program for
// the simulated LLM. With PORTCULLIS_DIRECT=1 the clients ask the simulated LLM itself, and the tests that need the
// gate are not registered: for work on the simulator, never for CI.

import { spawn } from 'node:child_process';
import { cp, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, '..', '..');
const CONFIG = join(ROOT, 'tests', 'sdk', 'config');
const UPSTREAM_KEY = 'sk-upstream-credential';
const START_LIMIT_MS = 30_000;

// What the developer's own shell sets for the SDK must not steer it here.
for (const name of Object.keys(process.env)) if (/^openai_|_proxy$/i.test(name)) delete process.env[name];

export const DIRECT = process.env.PORTCULLIS_DIRECT === '1';
const BINARY = process.env.PORTCULLIS_BIN ?? join(ROOT, 'target', 'debug', 'portcullis');

const keys = JSON.parse(await readFile(join(CONFIG, 'keys.json'), 'utf8'));

/** The gate key of that name in tests/sdk/config/keys.json. */
export const keyOf = (tenant) => (DIRECT ? UPSTREAM_KEY : keys[tenant]);

async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

async function running(command, args, logPath, readyUrl, env = {}) {
  const log = await open(logPath, 'w');
  const program = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', log.fd, log.fd] });
  // How it ended: its exit code, null after a signal, or the error that kept it from starting.
  const ended = new Promise((done) => program.once('exit', done).once('error', done));
  let isOver = false;
  ended.then(() => (isOver = true));
  const end = async () => {
    if (!isOver) program.kill('SIGTERM');
    const timer = setTimeout(() => program.kill('SIGKILL'), 15_000);
    const code = await ended;
    clearTimeout(timer);
    await log.close();
    return code;
  };
  const stop = async () => {
    const code = await end();
    if (code !== 0) throw new Error(`${command} ${args[0]} ended with ${code} on SIGTERM\n${await tail(logPath)}`);
  };
  const deadline = Date.now() + START_LIMIT_MS;
  let last = 'no answer';
  while (!isOver && Date.now() < deadline) {
    const answer = await fetch(readyUrl).catch((why) => ({ ok: false, status: String(why) }));
    if (answer.ok) return stop;
    last = answer.status;
    await pause(30);
  }
  await end();
  throw new Error(`${command} did not become ready (${last})\n${await tail(logPath)}`);
}

const tail = async (logPath) => (await readFile(logPath, 'utf8')).slice(-4000);

/** Starts both; `stop` ends them and removes their directory. */
export async function start() {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-node-'));
  await cp(CONFIG, directory, { recursive: true });
  const [upstreamPort, port, adminPort, deadPort] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const upstream = `http://127.0.0.1:${upstreamPort}`;
  const [simulator, ...first] = (process.env.PORTCULLIS_SIMULATOR ?? BINARY).split(' ');
  const stops = [];
  const stop = async () => {
    for (const end of stops.reverse()) await end();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const args = [...first, 'simulate', '--listen', `127.0.0.1:${upstreamPort}`, '--key', UPSTREAM_KEY];
    stops.push(await running(simulator, args, join(directory, 'simulator.log'), `${upstream}/sim/stats`));
    if (DIRECT) return { door: upstream, upstream, stop };
    const ports = { PORT: port, ADMIN_PORT: adminPort, UPSTREAM_PORT: upstreamPort, DEAD_PORT: deadPort, DIR: directory };
    const run = ['run', '--config', join(directory, 'portcullis.yaml')];
    stops.push(await running(BINARY, run, join(directory, 'gate.log'), `http://127.0.0.1:${adminPort}/readyz`, ports));
    return { door: `http://127.0.0.1:${port}`, upstream, stop };
  } catch (why) {
    await stop();
    throw why;
  }
}
