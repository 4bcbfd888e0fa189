// The report for programs: everything, as it is.

import type { Report } from './attack.js'

export const jsonOf = (report: Report): string => `${JSON.stringify(report, null, 2)}\n`
