// Who can sign in. `sub` names an account for ever; the app makes its user id of it.
export const ACCOUNTS = [
  { sub: "emp-1815", name: "Mary Somerville", email: "mary@id.example" },
  { sub: "emp-1914", name: "Hedy Lamarr", email: "hedy@id.example" },
];

export const accountOf = (sub) => ACCOUNTS.find((account) => account.sub === sub);
