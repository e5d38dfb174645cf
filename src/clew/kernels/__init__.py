"""Every hot loop: arrays and scalars in, arrays out. Nothing here checks its input; public functions of the layers above do."""
