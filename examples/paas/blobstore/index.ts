export { openFolderBlobstore, type Blobstore, type FolderBlobstoreOptions, type PutOptions } from "./folder.ts";
export type { ResourcePool } from "./pool.ts";
export type { BlobInfo } from "./names.ts";
export type { Content } from "./content.ts";
export type { BlobSource } from "./ingest.ts";
export { startBlobs, type BlobServer, type BlobServerOptions } from "./server.ts";
export { createBlobClient, type BlobClient, type BlobClientOptions, type BlobDownload } from "./client.ts";
export { BlobError, codes, type BlobErrorCode } from "./errors.ts";
