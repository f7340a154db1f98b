// kit/backend.mjs as a process of its own.
import { startBackend } from "./backend.mjs";
import { serve } from "./part.mjs";

serve({ port: await startBackend() });
