import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { BlobError } from "../../blobstore/errors.ts";
import type { AppParts } from "../apps/app-parts.ts";
import type { Background } from "../api/background.ts";
import { assemblePackage, type Pool } from "./bits/assemble.ts";
import { BitsProblem } from "./bits/problem.ts";
import type { Resource } from "./bits/resources.ts";
import { keepTouched } from "./keep-touched.ts";
import { expireOld } from "./retention.ts";
import type { Upload } from "./uploads.ts";

interface PackageRow {
  guid: string;
  app_guid: string;
}

export interface PackageContents {
  upload: Upload;
  resources: readonly Resource[];
  /** Whether its files go into the pool. */
  fillPool: boolean;
}

/** Makes the package of what was uploaded, in the background: READY with its checksum, or FAILED with the reason. */
export function processPackage(parts: AppParts, background: Background, { guid, app_guid }: PackageRow, { upload, resources, fillPool }: PackageContents): void {
  const { blobs, limits, tempDir } = parts;
  background.run("package", async (signal) => {
    await using _upload = upload;
    using _touched = keepTouched(parts, "packages", guid);
    const folder = join(tempDir, randomUUID());
    await mkdir(folder, { recursive: true, mode: 0o700 });
    try {
      const outPath = join(folder, "package.zip");
      const uploadPath = upload.file("bits");
      const pool: Pool = {
        get: (sha1) => blobs.poolGet(sha1, { signal }).then(({ stream }) => stream, (error: unknown) => (error instanceof BlobError && error.code === "BLOB_NOT_FOUND" ? undefined : Promise.reject(error))),
        put: (sha1, content) => (fillPool ? blobs.poolPut(sha1, content, { signal }) : Promise.reject(new Error("the pool is off"))),
      };
      await assemblePackage({
        ...(uploadPath !== undefined && { uploadPath }), resources, outPath, pool, signal,
        limits: { maxBytes: limits.maxPackageBytes, maxEntries: limits.maxPackageEntries },
      });
      const stored = await blobs.put(`packages/${guid}`, createReadStream(outPath), { signal });
      await finish(parts, guid, { state: "READY", sha256: stored.sha256, size_bytes: stored.sizeBytes });
      await expireOld(parts, app_guid);
    } catch (error) {
      const known = error instanceof BitsProblem;
      if (!known) parts.log.error("package.failed", { package: guid, error: String(error) });
      await finish(parts, guid, { state: "FAILED", error: known ? error.message : signal.aborted ? interrupted : "The package could not be stored. Push again." });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

/** Copies the bits of a package to another one, in the background. */
export function copyPackage(parts: AppParts, background: Background, sourceGuid: string, { guid, app_guid }: PackageRow): void {
  background.run("package copy", async () => {
    using _touched = keepTouched(parts, "packages", guid);
    try {
      const { sha256, sizeBytes } = await parts.blobs.copy(`packages/${sourceGuid}`, `packages/${guid}`);
      await finish(parts, guid, { state: "READY", sha256, size_bytes: sizeBytes });
      await expireOld(parts, app_guid);
    } catch (error) {
      parts.log.error("package.copy.failed", { package: guid, error: String(error) });
      await finish(parts, guid, { state: "FAILED", error: "The package could not be copied. Try again." });
    }
  });
}

export const interrupted = "The platform was restarted while this package was being processed. Push again.";

async function finish({ db, clock, waiting }: AppParts, guid: string, columns: { state: "READY"; sha256: string; size_bytes: number } | { state: "FAILED"; error: string }): Promise<void> {
  await db.updateTable("packages").set({ ...columns, updated_at: new Date(clock.now()) }).where("guid", "=", guid).execute();
  waiting.changed(guid);
}
