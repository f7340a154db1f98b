import type { Backend } from "../container/container.ts";
import type { Isolation } from "../container/isolation.ts";
import { processBackend } from "../container/process-backend.ts";
import { DeaError } from "../errors.ts";
import { linuxBackend } from "../linux/linux-backend.ts";
import type { BackendName } from "./usage.ts";

export interface BackendWish {
  name: BackendName;
  /** Of the process backend. Default auto. */
  isolate?: Isolation;
  /** Root folders by the name of their stack. Only the linux backend can run on them. */
  stacks?: Readonly<Record<string, string>>;
}

/** Makes the backend of this name. Throws DEA_UNSUPPORTED when it cannot work here and was asked for by name. */
export async function openBackend({ name, isolate = "auto", stacks = {} }: BackendWish): Promise<Backend> {
  if (name === "process") return processBackend({ isolate });
  try {
    return await linuxBackend({ stacks });
  } catch (error) {
    if (name === "auto" && error instanceof DeaError && error.code === "DEA_UNSUPPORTED") return processBackend({ isolate });
    throw error;
  }
}

/** One line for who starts a program: what the backend does not keep apart. */
export function isolationLine({ name, capabilities: { summary, warnings } }: Backend): string {
  const open = summary ?? (warnings.length > 0 ? warnings.join(" ") : "all that is named in its capabilities is kept apart by the kernel");
  return `backend ${name}: ${open}`;
}
