import type { Container, ContainerProcess, ContainerSpec } from "../container/container.ts";
import type { Port } from "../port-pool.ts";
import type { InstanceSpec } from "./spec.ts";
import { whenCpuGranted } from "./cpu-granted.ts";
import { instanceEnvironment } from "./environment.ts";
import { fillHome } from "./fill-home.ts";
import type { Surroundings } from "./instance.ts";
import { launchArguments, prepareHome, startCommand } from "./launch.ts";
import { inPhase, type Phase } from "./phases.ts";
import { stateFileOf } from "./state-file.ts";
import type { InLine } from "./wait-in-line.ts";

/** What the start needs of its instance, and what it hands over on its way: all that must be put away if it goes no further. */
export interface StartContext {
  around: Surroundings;
  id: string;
  line: InLine;
  /** Aborts when the instance shall end. */
  signal: AbortSignal;
  /** As it is now: an update may have come. */
  spec(): InstanceSpec;
  containerSpec(hostPort: number): ContainerSpec;
  /** Its turn has come. */
  onTurn(): void;
  onPort(port: Port): Promise<void>;
  onContainer(container: Container): void;
  /** May go on after its deadline, and still bring something. */
  onPending(work: Promise<unknown>): void;
  /** The droplet asks for a check of its own. */
  onStateFile(path: string): void;
  /** From now on it counts as started. */
  onStart(startedAtMs: number): void;
  /** Runs before the app's first instruction, when everything about it is known. */
  beforeRun(): Promise<void>;
  /** `granted` settles when the kernel has given it time. */
  onProcess(process: ContainerProcess, granted: Promise<void>): void;
}

/** Everything up to the app's first instruction, each phase under its deadline. Throws what went wrong. */
export async function startSequence(context: StartContext): Promise<void> {
  const { around, id, signal } = context;
  const { backend, store, ports, clock, deadlines, host } = around;
  const timed = <T>(phase: Phase, work: (limit: AbortSignal) => Promise<T>): Promise<T> => inPhase(phase, { ms: deadlines[phase], clock, signal, afterAbortMs: deadlines.kill }, work);
  using _place = await timed("queue", (limit) => context.line.wait(limit));
  context.onTurn();
  const { droplet, task, port: wanted, diskBytes } = context.spec();
  let hostPort = 0;
  // A task serves nobody.
  if (!task) {
    const port = await ports.take(wanted);
    hostPort = port.number;
    await context.onPort(port);
  }
  const create = async (): Promise<Container> => {
    const made = await backend.create(context.containerSpec(hostPort));
    context.onContainer(made);
    return made;
  };
  // Both are awaited before a failure of one is told: what the other brings must be put away.
  const [made, fetched] = await Promise.allSettled([
    timed("create", () => {
      const creating = create();
      context.onPending(creating);
      return creating;
    }),
    timed("download", (limit) => store.hold(droplet, limit)),
  ]);
  await using here = fetched.status === "fulfilled" ? fetched.value : undefined;
  if (made.status === "rejected") throw made.reason;
  if (fetched.status === "rejected") throw fetched.reason;
  const container = made.value;
  const { homeDir } = container;
  await timed("unpack", (limit) => fillHome(container, here ?? fetched.value, { maxBytes: diskBytes, signal: limit }));
  await prepareHome(homeDir);
  const spec = context.spec();
  const stateFile = spec.healthCheckOpen ? await stateFileOf(homeDir) : undefined;
  if (stateFile !== undefined) context.onStateFile(stateFile);
  const command = await startCommand(homeDir, spec.command);
  const startedAtMs = clock.now();
  context.onStart(startedAtMs);
  const env = instanceEnvironment({
    spec,
    instanceId: id,
    home: container.homeInside,
    host,
    hostPort,
    containerPort: container.containerPort,
    startedAtMs,
    path: container.inside?.searchPath ?? around.searchPath,
  });
  signal.throwIfAborted();
  const argv = launchArguments(container.homeInside, container.inside?.shell ?? around.shell, command);
  const process = await timed("run", () => {
    const starting = container.run({ argv, env }, () => context.beforeRun());
    context.onPending(starting);
    return starting;
  });
  context.onProcess(process, whenCpuGranted(container, { clock, signal, limitMs: deadlines.run }));
}
