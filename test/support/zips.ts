import { crc32 } from "node:zlib";

export interface Entry {
  name: string;
  content?: string | Buffer;
  /** Unix mode with its file type; default 0o100644, a regular file. */
  mode?: number;
  /** Sizes and checksum as written, where they shall lie. */
  claims?: { crc?: number; size?: number };
}

/** A zip file exactly as told, honest or not: writers of archives refuse the names that readers must survive. */
export function rawZip(entries: readonly Entry[]): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content = "", mode = 0o100644, claims = {} } of entries) {
    const path = Buffer.from(name);
    const bytes = Buffer.from(content);
    const { crc = crc32(bytes), size = bytes.length } = claims;
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(0x58210000, 6);
    common.writeUInt32LE(crc >>> 0, 10);
    common.writeUInt32LE(size, 14);
    common.writeUInt32LE(size, 18);
    common.writeUInt16LE(path.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), common, path, bytes]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE((mode << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from("PK\x01\x02", "latin1"), Buffer.from([20, 3]), common, tail, path]));
    locals.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, central, end]);
}
