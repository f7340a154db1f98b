export interface Packed {
  name: string;
  folder: string;
  manifest: { name: string; version: string; dependencies?: Record<string, string>; exports: Record<string, unknown>; bin?: Record<string, string> };
  tarball: string;
  packedBytes: number;
  files: { path: string; size: number }[];
}
/** `npm pack` of every package in packages/, all at once; they must be built. */
export function packAll(options: { root: string; into: string }): Promise<Packed[]>;
