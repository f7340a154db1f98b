import type { DropletSource, InstanceExit } from "../../src/index.ts";

export declare function evilDroplets(dir: string): Promise<{ name: string; droplet: string | DropletSource; held(exit: InstanceExit): boolean }[]>;
