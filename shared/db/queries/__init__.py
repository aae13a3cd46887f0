"""
Every statement of the pipeline, one module a step, one named function a statement.

No function here commits or decides: the caller owns the transaction, the pure modules own the decisions.
Only JSON parameters carry batches, so that one statement serves one row and five hundred.
"""
