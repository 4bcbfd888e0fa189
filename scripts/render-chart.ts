// `npm run chart`: prints what deploy/helm makes of its examples into test/deploy/rendered/. Needs helm 3.
import { writeFileSync } from 'node:fs'
import { EXAMPLES, hasHelm, render, renderedFile, stamp } from './chart.js'

if (hasHelm()) for (const example of EXAMPLES) writeFileSync(renderedFile(example), stamp() + render(example))
else {
  process.stderr.write('helm is not on this machine: go install helm.sh/helm/v3/cmd/helm@latest\n')
  process.exitCode = 1
}
