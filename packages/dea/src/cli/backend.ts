import type { Backend } from "../container/container.ts";
import { processBackend } from "../container/process-backend.ts";
import { DeaError } from "../errors.ts";
import { linuxBackend } from "../linux/linux-backend.ts";
import type { BackendName } from "./usage.ts";

/** Makes the backend of this name. Throws DEA_UNSUPPORTED when it cannot work here and was asked for by name. */
export async function openBackend(name: BackendName): Promise<Backend> {
  if (name === "process") return processBackend();
  try {
    return await linuxBackend();
  } catch (error) {
    if (name === "auto" && error instanceof DeaError && error.code === "DEA_UNSUPPORTED") return processBackend();
    throw error;
  }
}
