/** Where the comparison lies, and what it makes. Everything made is under `build/`, which git ignores. */
import { fileURLToPath } from "node:url";

/** The folder of this file, which holds what npm installs for the peers. */
export const peersFolder = fileURLToPath(new URL("./", import.meta.url));
export const rootFolder = fileURLToPath(new URL("../../../", import.meta.url));
/** Sources, builds and models, kept from one run to the next. */
export const cacheFolder = fileURLToPath(new URL("../../../build/peers/cache/", import.meta.url));
