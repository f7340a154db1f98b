import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { controllerMigrations } from "./controller/data/migrations.ts";
import { buildTemplate } from "./database.ts";
import { secretMigrations } from "./secrets.ts";
import { uaaMigrations } from "./uaa/migrations.ts";

// Runs at the end of the build: the embedded database is initialised once here, so that a first start takes no seconds. It holds no data and no secrets.
const folder = fileURLToPath(new URL("./template", import.meta.url));
await rm(folder, { recursive: true, force: true });
await buildTemplate(folder, { platform: secretMigrations, controller: controllerMigrations, uaa: uaaMigrations });
process.exit(0);
