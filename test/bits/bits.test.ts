/** The short form of `npm run bits`: every case and every build once, not with each other. */
import { workFolder } from "../model/support.ts";
import { declareBits } from "./suite.ts";

declareBits(await workFolder(), "enough");
