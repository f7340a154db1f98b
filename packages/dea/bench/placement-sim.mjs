// A world for the placer: hosts, apps, a bus that is slow now and then, all of it in virtual time and from one seed.
// Placements are checked from outside, against the hosts as they are and against the plain rule.

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;
const tickMs = 10;
const kinds = {
  memory: [[0.4, 256 * MiB], [0.4, 512 * MiB], [0.15, 1_024 * MiB], [0.05, 2_048 * MiB]],
  count: [[0.5, 1], [0.25, 3], [0.15, 8], [0.1, 40]],
  size: [[0.25, 48 * GiB], [0.5, 64 * GiB], [0.25, 96 * GiB]],
};

/**
 * @param {object} options
 * @param {typeof import("../src/placement.ts")} options.placement  the library
 * @param {number} [options.hosts] @param {number} [options.instances] @param {number} [options.zones] @param {number} [options.seed]
 * @param {number} [options.controllers]  each with a placer of its own, and apps of its own
 * @param {number} [options.leaving]  part of the hosts that leave and come back, half of them without a word
 * @param {number} [options.deploying]  part of the apps that are deleted and pushed anew
 * @param {number} [options.startsPerSecond]  in virtual time
 * @param {number} [options.samples]  decisions that are compared with the plain rule
 */
export function simulate({ placement: { createPlacer, place }, hosts: hostCount = 1_000, instances: instanceCount = 100_000, zones = 3, seed = 1, controllers = 1, leaving = 0.05, deploying = 0.02, startsPerSecond = 2_000, samples = 40 }) {
  const random = randomOf(seed);
  const pick = (table) => { let left = random(); for (const [part, value] of table) if ((left -= part) < 0) return value; return table[0][1]; };
  let now = 0;
  const placers = Array.from({ length: controllers }, () => createPlacer({ now: () => now }));
  const counted = { decisions: 0, refused: 0, gone: 0, advertisements: 0, late: 0, retries: 0, lost: 0, overCapacity: 0, hostViolations: 0, unlikeTheRule: 0, sampled: 0 };
  let decisionMs = 0;
  let hearMs = 0;

  const ticks = [];
  const at = (ms, run) => { const tick = Math.max(Math.ceil(ms / tickMs), Math.floor(now / tickMs) + 1); (ticks[tick] ??= []).push(run); };

  const hosts = Array.from({ length: hostCount }, (_, i) => ({
    id: `host-${i}`, zone: `z${i % zones}`, pool: i % 10 === 8 ? "gold" : undefined, stacks: i % 4 === 0 ? ["cflinuxfs3", "cflinuxfs4"] : ["cflinuxfs4"],
    memory: pick(kinds.size), disk: 0, up: true, freeMemory: 0, freeDisk: 0, has: new Map(), counts: new Map(), pending: new Map(), pendingMemory: 0, pendingDisk: 0, recent: [], known: false, left: false, spokenAt: 0,
  }));
  for (const host of hosts) host.disk = host.memory * 4;
  const empty = (host) => Object.assign(host, { freeMemory: host.memory, freeDisk: host.disk, has: new Map(), counts: new Map(), recent: [] });
  hosts.forEach(empty);

  const apps = [];
  let serial = 0;
  const newApp = ({ memory, disk, stack, pool, count }) => {
    const app = { id: `app-${serial++}`, memory, disk, stack, pool, count, instances: new Set(), placer: placers[apps.length % controllers] };
    apps.push(app);
    return app;
  };
  for (let left = instanceCount; left > 0;) {
    const count = Math.min(left, pick(kinds.count));
    const memory = pick(kinds.memory);
    newApp({ memory, disk: memory * 2, stack: random() < 0.1 ? "cflinuxfs3" : "cflinuxfs4", pool: random() < 0.08 ? "gold" : undefined, count });
    left -= count;
  }

  // What a host says comes in order, 1 to 20 ms later, or up to 8 s now and then.
  const say = (host, run) => {
    const late = random() < 0.02;
    if (late) counted.late++;
    host.spokenAt = Math.max(host.spokenAt, now + (late ? 8_000 : 20) * random());
    at(host.spokenAt, run);
  };
  const advertise = (host) => {
    const news = {
      id: host.id, zone: host.zone, stacks: host.stacks, ...(host.pool && { pool: host.pool }), counted: [...host.recent], instances: Object.fromEntries(host.counts),
      memory: { totalBytes: host.memory, freeBytes: host.freeMemory }, disk: { totalBytes: host.disk, freeBytes: host.freeDisk },
    };
    say(host, () => {
      counted.advertisements++;
      host.known = host.up;
      hearMs += timed(() => { for (const placer of placers) placer.hear(news); });
    });
  };
  const round = (host) => {
    if (host.up) advertise(host);
    at(now + 5_000, () => round(host));
  };
  hosts.forEach((host, i) => at(1 + (i * 5_000) / hostCount, () => round(host)));

  const put = (host, instance, by) => {
    host.freeMemory -= by * instance.app.memory;
    host.freeDisk -= by * instance.app.disk;
    const count = (host.counts.get(instance.app.id) ?? 0) + by;
    if (count > 0) host.counts.set(instance.app.id, count); else host.counts.delete(instance.app.id);
    if (by > 0) host.has.set(instance.id, instance); else host.has.delete(instance.id);
    instance.host = by > 0 ? host : undefined;
    if (host.freeMemory < 0 || host.freeDisk < 0) counted.overCapacity++;
  };

  const hold = (host, app, by) => {
    host.pendingMemory += by * app.memory;
    host.pendingDisk += by * app.disk;
    const count = (host.pending.get(app.id) ?? 0) + by;
    if (count > 0) host.pending.set(app.id, count); else host.pending.delete(app.id);
  };
  /** Two of an app on a host, while another of the zone could be known to have room and none. */
  const check = (chosen, app) => {
    if (!chosen.up || !(chosen.counts.has(app.id) || chosen.pending.has(app.id))) return;
    const better = (host) => host.known && host.zone === chosen.zone && suits(host, app) && !host.counts.has(app.id) && !host.pending.has(app.id)
      && host.freeMemory - host.pendingMemory >= app.memory && host.freeDisk - host.pendingDisk >= app.disk;
    if (hosts.some(better)) counted.hostViolations++;
  };

  const byId = new Map(hosts.map((host) => [host.id, host]));
  const sampleEvery = Math.max(1, Math.floor(instanceCount / samples));
  function decide(instance, leaveOut = new Set()) {
    const { app } = instance;
    if (!app.instances.has(instance)) return;
    const request = { app: app.id, memoryBytes: app.memory, diskBytes: app.disk, stack: app.stack, ...(app.pool && { pool: app.pool }) };
    const snapshot = counted.decisions % sampleEvery === 0 ? app.placer.hosts() : undefined;
    let result;
    decisionMs += timed(() => { result = app.placer.reserve(request, { id: instance.id, leaveOut }); });
    counted.decisions++;
    if (snapshot) {
      counted.sampled++;
      const plain = place(request, snapshot, { leaveOut });
      if (plain.ok !== result.ok || (plain.ok && plain.host !== result.host) || (plain.ok && !bySpread(snapshot, request, leaveOut).has(plain.host))) counted.unlikeTheRule++;
    }
    if (!result.ok) {
      counted.retries++;
      return at(now + 1_000, () => decide(instance));
    }
    const { reservation, host: id } = result;
    const host = byId.get(id);
    check(host, app);
    hold(host, app, 1);
    at(now + 1 + 20 * random(), () => {
      hold(host, app, -1);
      if (!host.up) {
        counted.gone++;
        reservation.release();
        app.placer.remove(id);
        return decide(instance, new Set([...leaveOut, id]));
      }
      if (!app.instances.has(instance)) return reservation.release();
      if (host.freeMemory < app.memory || host.freeDisk < app.disk) {
        return say(host, () => {
          counted.refused++;
          reservation.full();
          decide(instance, new Set([...leaveOut, id]));
        });
      }
      put(host, instance, 1);
      host.recent.push(instance.id);
      if (host.recent.length > 256) host.recent.shift();
      say(host, () => reservation.accept());
    });
  }

  const start = (app, ms) => {
    for (let i = 0; i < app.count; i++) {
      const instance = { app, id: `i-${serial++}`, host: undefined };
      app.instances.add(instance);
      at(ms, () => decide(instance));
    }
  };

  // Everything is pushed, then the world moves.
  let pushedAt = 6_000;
  for (const app of apps) {
    start(app, pushedAt);
    pushedAt += (app.count * 1_000) / startsPerSecond;
  }
  const settledAt = pushedAt + 60_000;
  for (const host of hosts) {
    if (random() >= leaving) continue;
    const silent = random() < 0.5;
    const leaveAt = 10_000 + random() * (pushedAt - 10_000);
    at(leaveAt, () => {
      host.up = host.known = false;
      host.left = true;
      const lost = [...host.has.values()];
      counted.lost += lost.length;
      for (const instance of lost) instance.host = undefined;
      empty(host);
      // Who says goodbye is heard after all that it said before; who does not has run out of every term by then.
      const again = () => { for (const instance of lost) decide(rename(instance)); };
      if (silent) at(now + 25_000, again);
      else say(host, () => { for (const placer of placers) placer.remove(host.id); again(); });
      at(now + 30_000 + 15_000 * random(), () => { host.up = true; advertise(host); });
    });
  }
  // A command id is used once.
  const rename = (instance) => { instance.id = `i-${serial++}`; return instance; };
  for (const app of apps.filter(() => random() < deploying)) at(10_000 + random() * (pushedAt - 10_000), () => {
    for (const instance of app.instances) if (instance.host) put(instance.host, instance, -1);
    app.instances.clear();
    const next = newApp(app);
    start(next, now + 1_000);
  });

  for (let tick = 0; tick * tickMs <= settledAt; tick++) {
    now = tick * tickMs;
    for (const run of ticks[tick] ?? []) run();
    ticks[tick] = undefined;
  }

  const running = hosts.reduce((sum, host) => sum + host.has.size, 0);
  const shares = (list) => list.map((host) => 1 - host.freeMemory / host.memory).sort((a, b) => a - b);
  const balance = (list) => {
    // Who came back empty shortly before the end says nothing about balance.
    const all = shares(list.filter((host) => !host.left));
    const of = (part) => Math.round(1_000 * (all[Math.min(all.length - 1, Math.floor(part * all.length))] ?? 0)) / 10;
    return { min: of(0), p10: of(0.1), p50: of(0.5), p90: of(0.9), max: of(1) };
  };
  return {
    ...counted, zoneViolations: zoneViolations(apps, hosts), running, wanted: apps.reduce((sum, app) => sum + app.instances.size, 0), open: placers.reduce((sum, placer) => sum + placer.size.open, 0),
    used: { shared: balance(hosts.filter(({ pool }) => !pool)), gold: balance(hosts.filter(({ pool }) => pool)) },
    decisionsPerSecond: Math.round(counted.decisions / (decisionMs / 1_000)), microsPerAdvertisement: Math.round((hearMs * 1_000) / (counted.advertisements * controllers)),
    virtualSeconds: Math.round(settledAt / 1_000),
  };
}

const suits = (host, app) => host.pool === app.pool && host.stacks.includes(app.stack);

/** As the world is at the end: apps of which one zone has more than one instance more than another that suits them. */
function zoneViolations(apps, hosts) {
  const kinds = new Map();
  return apps.filter((app) => {
    const kind = `${app.pool} ${app.stack}`;
    if (!kinds.has(kind)) kinds.set(kind, [...new Set(hosts.filter((host) => suits(host, app)).map(({ zone }) => zone))]);
    const zones = new Map(kinds.get(kind).map((zone) => [zone, 0]));
    for (const { host } of app.instances) if (host) zones.set(host.zone, zones.get(host.zone) + 1);
    return Math.max(...zones.values()) - Math.min(...zones.values()) > 1;
  }).length;
}

/** The hosts that the plain rule allows, emptiness aside. */
function bySpread(snapshot, { app, pool, stack, memoryBytes, diskBytes }, leaveOut) {
  const count = ({ instances }) => instances[app] ?? 0;
  const inPool = snapshot.filter((host) => host.pool === pool);
  const zone = new Map();
  for (const host of inPool) zone.set(host.zone, (zone.get(host.zone) ?? 0) + count(host));
  const fitting = inPool.filter((host) => host.stacks.includes(stack) && host.memory.freeBytes >= memoryBytes && host.disk.freeBytes >= diskBytes && !leaveOut.has(host.id));
  const least = (list, of) => { const min = Math.min(...list.map(of)); return list.filter((each) => of(each) === min); };
  return new Set(least(least(fitting, (host) => zone.get(host.zone)), count).map(({ id }) => id));
}

/** Milliseconds of CPU time: on a busy machine the clock on the wall says little. */
function timed(run) {
  const begun = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1_000;
}

/** Mulberry32: small, even, and the same everywhere. */
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
  };
}
