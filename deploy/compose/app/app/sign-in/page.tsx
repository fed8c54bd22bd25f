import { redirect } from "next/navigation";
import { AuthError } from "next-auth";
import { auth, hasOidc, signIn } from "@/auth";
import { Mark } from "@/components/mark";
import { ACCOUNTS, DEMO_PASSWORD } from "@/lib/accounts";

async function withPassword(form: FormData) {
  "use server";
  try {
    await signIn("credentials", { email: form.get("email"), password: form.get("password"), redirectTo: "/" });
  } catch (error) {
    if (error instanceof AuthError) redirect("/sign-in?error=CredentialsSignin");
    throw error; // Next.js redirects by throwing
  }
}

async function withOidc() {
  "use server";
  await signIn("oidc", { redirectTo: "/" });
}

type Query = Promise<Record<string, string | string[] | undefined>>;

export default async function SignIn({ searchParams }: { searchParams: Query }) {
  if (await auth()) redirect("/");
  const { error, left } = await searchParams;
  return (
    <main className="sign-in">
      <div className="sheet">
        <header>
          <Mark />
          <h1>Welcome to Parley</h1>
          <p>A chat that knows you by your session alone. No token and no key ever reaches this browser.</p>
        </header>
        {left !== undefined && <p className="notice" role="status">You have signed out.</p>}
        {error && (
          <p className="notice bad" role="alert">
            {error === "CredentialsSignin" ? "That email address and password do not match." : "Signing in did not work. Please try again."}
          </p>
        )}
        <form action={withPassword}>
          <label>
            Email
            <input name="email" type="email" autoComplete="username" defaultValue={ACCOUNTS[0].email} required />
          </label>
          <label>
            Password
            <input name="password" type="password" autoComplete="current-password" required />
          </label>
          <button className="primary" type="submit">Sign in</button>
        </form>
        {hasOidc && (
          <form action={withOidc} className="other">
            <span className="or">or</span>
            <button type="submit">Continue with Example ID</button>
          </form>
        )}
        <footer>
          <p>
            Demo accounts: {ACCOUNTS.map(({ email }, at) => <span key={email}>{at > 0 && " and "}<code>{email}</code></span>)}, password <code>{DEMO_PASSWORD}</code>.
          </p>
        </footer>
      </div>
    </main>
  );
}
