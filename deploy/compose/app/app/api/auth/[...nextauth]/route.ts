// Auth.js: sign-in, sign-out, the session. There is no route of Behest's beside it.
import { handlers } from "@/auth";

export const { GET, POST } = handlers;
