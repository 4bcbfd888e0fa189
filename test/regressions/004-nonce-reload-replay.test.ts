// A reload that begins to demand nonces judges proofs by their nonce: one that was used before, made by a slow clock, must not be new
// because its record was made for its `iat` (C18: every proof accepted).
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { makeDraft, printDraft } from '../support/draft.js'
import { HOST, type LabYaml, startLab } from '../support/lab.js'

const tiers =
  (nonce: string) =>
  (parts: LabYaml): LabYaml => ({
    ...parts,
    tiers: `
  bound_read: { extends: sensitive_read, binding: any, audit: all, nonce: ${nonce}, proof_max_age: 20s, clock_skew: 1s }
  certificates: { extends: sensitive_read, binding: mtls }
  both: { extends: sensitive_read, binding: both }
`,
  })

t.test('a proof that was used without its nonce being asked for is not used again with it', async (t) => {
  const lab = await startLab({ yaml: tiers('off') })
  t.teardown(() => lab.stop())
  const draft = makeDraft({ host: HOST, path: '/read/1', nonce: await lab.nonce() })
  if (draft.proof !== null) draft.proof.claims.iat = draft.now - 19
  const bytes = printDraft(draft)
  t.equal((await lab.sendRaw(bytes)).status, 200)
  await sleep(12_000)
  // Others, so that records that have ended are let go.
  for (let i = 0; i < 10; i++) await lab.send(makeDraft({ host: HOST, path: '/read/1' }))
  await lab.reload(tiers('required'))
  t.not((await lab.sendRaw(bytes)).status, 200, 'not a second time')
})
