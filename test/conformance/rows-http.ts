// HTTP, the headers of a gateway, problem documents, and what FAPI adds.
import type { Row } from './row.js'
import { FAPI_ROWS } from './rows-fapi.js'
import { GATEWAY_ROWS } from './rows-gateway.js'
import { MESSAGE_ROWS } from './rows-messages.js'

export const HTTP_ROWS: readonly Row[] = [...FAPI_ROWS, ...MESSAGE_ROWS, ...GATEWAY_ROWS]
